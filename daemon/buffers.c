// SPDX-License-Identifier: GPL-2.0-or-later
#include "buffers.h"

#include <limits.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "conn.h"
#include "util.h"

/* A mark on what is queued for a target: a segment. */
#define MARK_LEAST (UINT64_C(64) << 10)
/* Four of the largest segments, which have 64 KiB over loopback: half of it is a window, and a
 * sender that has no room for a whole one waits for a timer. */
#define SEGMENTS_MOST (UINT64_C(256) << 10)

uint64_t buffers_mark(const struct conn *c, uint64_t most)
{
	return c->share ? MIN(most, MAX((uint64_t)c->share / 2, MARK_LEAST)) : most;
}

uint64_t buffers_hard(const struct conn *c, uint64_t most_high, uint64_t most_hard)
{
	uint64_t high = buffers_mark(c, most_high);

	return high == most_high ? most_hard : MIN(most_hard, 4 * high);
}

uint64_t buffers_window(const struct conn *c, uint64_t most)
{
	return c->window ? MIN(most, (uint64_t)c->window) : most;
}

static uint64_t least_for_segments(const struct conn *c)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return SEGMENTS_MOST;
	return MIN(4 * (uint64_t)info.tcpi_advmss, SEGMENTS_MOST);
}

uint64_t buffers_usual(struct conn *c, uint64_t window)
{
	if (window >= SEGMENTS_MOST / 2)
		return window;
	if (!c->segments)
		c->segments = (uint32_t)(least_for_segments(c) / 2);
	return MAX(window, (uint64_t)c->segments);
}

/* Whether a send buffer of that size is no smaller than the present one. */
static bool is_larger(const struct conn *c, int out)
{
	int now = INT_MAX;
	socklen_t len = sizeof(now);

	return getsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &now, &len) == 0 && now / 2 <= out;
}

void buffers_outlet(struct conn *c, bool is)
{
	int out = (int)(c->share / 2);

	c->outlet = is;
	if (!is && c->share)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &out, sizeof(out));
}

/*
 * What its peer was promised may still come: a smaller receive buffer would drop it, and its sender
 * repeat it with ever longer waits. So the window is made smaller first, and the buffer leaves room
 * for what was promised, but where memory is short.
 */
static void shrink(struct conn *c, uint64_t share, uint64_t usual_window, bool hard)
{
	uint64_t window = MAX(share, least_for_segments(c)) / 2, room = window;
	uint64_t before = c->window ? 2 * (uint64_t)c->window : usual_window;
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);
	int clamp = (int)window, in, out = (int)(share / 2);

	if (!hard && getsockopt(c->fd, SOL_SOCKET, SO_MEMINFO, info, &len) == 0)
		room = MIN(MAX(room, (info[SK_MEMINFO_RMEM_ALLOC] + before) / 2),
			   MAX(room, info[SK_MEMINFO_RCVBUF] / 2));
	in = (int)room;
	/* Where one of these fails the socket keeps what it has, and works. */
	if (!c->outlet || is_larger(c, out))
		(void)setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &out, sizeof(out));
	/* That of the bypass is small, and a larger one would take more tokens. */
	if (!c->joinable) {
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &clamp, sizeof(clamp));
		(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &in, sizeof(in));
	}
	c->share = (uint32_t)share;
	c->window = (uint32_t)window;
	c->tight = hard;
}

/*
 * The usual buffers: the kernel's own tuning, and what kernel_hold() makes of a source that was
 * engaged. SO_RCVBUF would be capped at net.core.rmem_max, SO_RCVLOWAT is not.
 */
static void restore(struct conn *c, uint64_t usual_window)
{
	int window = (int)usual_window, low = window * 3, one = 1;
	int lock = c->joinable ? SOCK_RCVBUF_LOCK : 0, clamp = c->collected ? window : INT_MAX / 2;

	/* Where one of these fails it has smaller buffers than it could, and works. */
	(void)setsockopt(c->fd, SOL_SOCKET, SO_BUF_LOCK, &lock, sizeof(lock));
	if (c->collected && !c->joinable) {
		lock = SOCK_RCVBUF_LOCK;
		(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low));
		(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
		(void)setsockopt(c->fd, SOL_SOCKET, SO_BUF_LOCK, &lock, sizeof(lock));
	}
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &clamp, sizeof(clamp));
	c->share = c->window = 0;
	c->tight = false;
}

void buffers_set(struct conn *c, uint64_t share, uint64_t window, bool hard)
{
	if (!c || c->fd < 0 || !c->tcp)
		return;
	if (!share && c->share)
		restore(c, buffers_usual(c, window));
	else if (share && (!c->share || share < c->share || share >= 4 * (uint64_t)c->share ||
			   (hard && !c->tight)))
		shrink(c, share, buffers_usual(c, window), hard);
}

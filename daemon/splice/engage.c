// SPDX-License-Identifier: GPL-2.0-or-later
#include "engage.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "../buffers.h"
#include "../stats.h"
#include "../tcpstate.h"
#include "../util.h"
#include "byhand.h"
#include "lane.h"
#include "maps.h"
#include "take-back.h"

/* Memory of a backlog in units of its payload: the marks on bytes alone do not bound small
 * segments. Full-size ones stay well below these. */
#define MEMORY_PER_HIGH 8
#define MEMORY_PER_HARD 4

/*
 * Gives the source a receive window of splice_window in a buffer three times as large, for good.
 *
 * The kernel's own tuning takes redirected bytes for bytes an application has read: it would grow
 * the buffer to the system's maximum, and all of that would reach the target's queue at once when a
 * pause ends. And a window as large as the buffer closes: what arrives while kernel_kick() holds
 * the socket's lock still counts against the buffer when the last window is computed
 * (__tcp_select_window() subtracts sk_backlog.len), nobody tells the sender that there is room
 * again, and it waits for a timer.
 */
static void fix_window(const struct stream *s, bool first)
{
	int window = (int)buffers_window(s->source, kernel_window(s)), quick = 1;
	/* A send buffer that was made small stays so. */
	int lock = SOCK_RCVBUF_LOCK | (s->source->share ? SOCK_SNDBUF_LOCK : 0);

	/* Every time: the kernel sets the clamp anew when segments become larger. */
	(void)setsockopt(s->source->fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &window, sizeof(window));
	/*
	 * Out of the mode in which acknowledgements wait for an answer to ride on: a sender that
	 * holds its last segment back until the one before is acknowledged (Nagle) would wait for
	 * the timer, 40 ms.
	 */
	(void)setsockopt(s->source->fd, IPPROTO_TCP, TCP_QUICKACK, &quick, sizeof(quick));
	if (first)
		(void)setsockopt(s->source->fd, SOL_SOCKET, SO_BUF_LOCK, &lock, sizeof(lock));
}

int kernel_engage(struct stream *s)
{
	struct lane *lane = s->lane;
	int err = 0;

	if (s->source->fin_seen)
		err = -EOPNOTSUPP;
	else if (maps_unheard(s->splice->by->maps))
		err = -ENOLCK;
	if (!err && !s->target->based) {
		uint64_t written;

		err = tcp_written(s->target->fd, &written);
		if (err == -EAGAIN) {
			stream_again(s);
			return err;
		}
		s->target->base = written - s->target->sent;
		s->target->based = !err;
	}
	if (!err) {
		/* Everything handed up has been written, as part of `copied`: see splice-api.h. */
		lane->forwarded = lane->passed;
		lane->copied = s->copied - lane->forwarded;
		lane->pause_seen = lane->pause_wanted;
		lane->shut = 0;
		__atomic_store_n(&lane->beyond, LANE_WITHIN, __ATOMIC_RELEASE);
		__atomic_store_n(&lane->epoch, lane->epoch + 1, __ATOMIC_RELEASE);
		s->drained = false;
		kernel_hold(s);
		fix_window(s, lane->epoch == 1);
		err = maps_engage(s->splice->by->maps, s->source->cookie, s->source->fd);
		if (err)
			kernel_kick(s);
	}
	if (err) {
		kernel_give_up(s, kernel_reason(err));
		return err;
	}
	stream_enter(s, STREAM_ENGAGED);
	stream_watch(s);
	kernel_kick(s);
	return 0;
}

/* From now on events of the slot's lanes are about this splice. */
static void use_slot(struct splice *sp)
{
	const struct maps *m = sp->by->maps;

	if (sp->generation)
		return;
	/* 0 is nobody's: see kernel_unshare(). */
	if (!++m->generations[sp->slot])
		m->generations[sp->slot]++;
	sp->generation = m->generations[sp->slot];
	m->owners[sp->slot] = sp;
}

/* Prepares the part shared with the kernel. The slot's previous user is long closed, so nobody else
 * writes to it now. */
static int share(struct stream *s, uint64_t limit)
{
	const struct splice_settings *c = s->splice->settings;
	uint32_t index = s->splice->slot * 2 + stream_direction(s);
	struct lane_ref ref = {.target = s->target->cookie, .lane = index};
	struct lane *lane = &s->splice->by->maps->lanes[index];

	use_slot(s->splice);
	*lane = (struct lane){
	    .limit = limit,
	    .high = (uint32_t)buffers_mark(s->target, c->high),
	    .hard = (uint32_t)buffers_hard(s->target, c->high, c->hard),
	    .mem_high = (uint32_t)MIN(c->high * MEMORY_PER_HIGH, UINT32_MAX),
	    .mem_hard = (uint32_t)MIN(c->hard * MEMORY_PER_HARD, UINT32_MAX),
	    .generation = s->splice->generation,
	    .worker = (uint16_t)s->splice->by->index,
	};
	s->lane = lane;
	s->bulk = (struct stream_bulk){.ns = stream_now(s)};
	s->wait_since = 0;
	s->source->shared = true;
	return maps_lane_set(s->splice->by->maps, s->source->cookie, &ref);
}

/* Makes sure that the socket is in `sockets`: sockops has done it where sessions go to the kernel
 * at once (see maps_own()), unless it could not. */
static int collect(const struct stream *s, struct conn *c)
{
	socklen_t len = sizeof(c->cookie);
	int err = 0;

	if (c->collected)
		return 0;
	if (getsockopt(c->fd, SOL_SOCKET, SO_COOKIE, &c->cookie, &len) < 0)
		return -errno;
	if (s->splice->settings->engage_after ||
	    !maps_socket_present(s->splice->by->maps, c->cookie))
		err = maps_socket_add(s->splice->by->maps, c->cookie, c->fd);
	c->collected = !err;
	return err;
}

/* Puts the gate in front of a source. */
static int put_gate(const struct stream *s)
{
	int err = s->source->gated ? 0 : maps_gate(s->splice->by->maps, s->source->fd);

	s->source->gated = !err;
	return err == -ENOMEM ? -ENOBUFS : err; /* no map is full */
}

int kernel_share(struct stream *s, uint64_t limit)
{
	int err = collect(s, s->source);

	if (!err)
		err = collect(s, s->target);
	if (!err)
		err = put_gate(s);
	return err ? err : share(s, limit);
}

void kernel_unshare(struct stream *s)
{
	/* When bytes moved last outlives the lane. */
	s->splice->active_ns = MAX(s->splice->active_ns, s->lane->active_ns);
	/* What cannot be removed now is before the connection is freed. */
	(void)kernel_forget_conn(s->splice->by->maps, s->source);
	/* An event still in a ring finds nobody, whoever gets the slot next. */
	__atomic_store_n(&s->lane->generation, 0, __ATOMIC_RELEASE);
	s->lane = NULL;
	s->taken = 0;
}

void kernel_adopted(struct splice *sp)
{
	if (sp->list != &sp->by->adopted)
		splice_enlist(sp, &sp->by->adopted);
	if (sp->adopted)
		return;
	sp->adopted = true;
	stat_inc(&sp->by->stats->sessions_kernel);
}

int kernel_forget_conn(const struct maps *m, struct conn *c)
{
	int err = c->shared ? maps_lane_clear(m, c->cookie) : 0;

	if (err && err != -ENOENT)
		return err;
	c->shared = false;
	return 0;
}

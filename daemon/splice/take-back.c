// SPDX-License-Identifier: GPL-2.0-or-later
#include "take-back.h"

#include <errno.h>
#include <sys/socket.h>

#include "../log.h"
#include "../stats.h"
#include "../tcpstate.h"
#include "../util.h"
#include "lane.h"
#include "maps.h"

/* Calls that are interrupted, or meet a short shortage, are repeated so often. */
#define SEND_TRIES     8
#define PUT_BACK_TRIES 8

void kernel_hold(const struct stream *s)
{
	int bytes = (int)kernel_window(s) * 3;

	if (!(s->splice->by->maps->debug & SPLICE_DEBUG_NO_RCVLOWAT))
		(void)setsockopt(s->source->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

void kernel_kick(const struct stream *s)
{
	int one = 1;

	(void)setsockopt(s->source->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
}

/*
 * Whether the held source is open and far from filling its receive window. When it is full the
 * kernel runs a verdict whatever SO_RCVLOWAT says, and a verdict that meets the delete drops its
 * segment.
 */
static bool window_is_open(const struct stream *s)
{
	uint64_t consumed =
	    s->source->received + stream_redirected(s) + kernel_passed(s) - s->taken;
	struct tcp_state state;
	uint64_t far;

	if (s->splice->by->maps->debug & SPLICE_DEBUG_NO_RCVLOWAT)
		return true;
	if (tcp_state_read(s->source->fd, &state) < 0)
		return true; /* the delete will tell */
	/* A small buffer is filled by a few segments whose memory is more than their bytes. */
	far = s->source->window ? s->source->window / 32 : kernel_window(s) / 4;
	/* A FIN runs one too; its EPOLLRDHUP leads to the end of the stream. */
	return state.open && state.received < consumed + far;
}

/*
 * Whether a verdict has met the delete, and dropped its segment: TCP takes that for consumed. What
 * comes behind it must not be read. An error of the connection is told by who reads.
 */
static bool has_lost(const struct stream *s)
{
	uint64_t consumed = 0, known;

	if (tcp_consumed(s->source->fd, &consumed) < 0)
		return false;
	known = s->source->received + stream_redirected(s);
	if (consumed <= known)
		return false;
	log_session(LOG_LVL_ERROR, s->splice->id,
		    ": %llu bytes were lost when the source left the kernel without its lock",
		    (unsigned long long)(consumed - known));
	return true;
}

/* Without sockops, or where it was not called. Safe as long as no verdict is due in this very
 * moment. */
static int delete_unlocked(struct stream *s)
{
	int err;

	if (!window_is_open(s))
		return -EBUSY;
	err = maps_disengage(s->splice->by->maps, s->source->cookie);
	if (err == -ENOENT) {
		/* It has left on its own in this moment, or its TCP is there no more. The lock
		 * waits for the call that is about to say the first. */
		kernel_hold(s);
		return kernel_stopped(s) ? 0 : -ECONNRESET;
	}
	if (err)
		return -EBUSY; /* it is where it was */
	stat_inc(&s->splice->by->stats->unlocked_deletes);
	/* The lock waits for a verdict that was under way: only then is known what it has done. */
	kernel_hold(s);
	if (kernel_passed(s) == s->taken)
		return has_lost(s) ? -EBADMSG : 0;
	for (int i = 0; i < PUT_BACK_TRIES; i++) {
		err = maps_engage(s->splice->by->maps, s->source->cookie, s->source->fd);
		if (!err)
			return -EAGAIN; /* still held */
		/* Its FIN has come: what was handed up is the last of it and is read all the same;
		 * the count at the end of the stream proves it. */
		if (err == -EOPNOTSUPP)
			return 0;
	}
	return -EBADMSG;
}

/*
 * Makes the kernel call the sockops program under the socket's lock. 0, or an error of the
 * connection, which is told nowhere else; -EBUSY: the call did not come that far, for want of
 * memory, say.
 */
static int compute_mss(const struct maps *m, int fd)
{
	int err = 0;

	__atomic_fetch_add(m->leaving, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < SEND_TRIES; i++) {
		err = send(fd, "", 0, MSG_NOSIGNAL) < 0 ? -errno : 0;
		if (err != -EINTR)
			break;
	}
	__atomic_fetch_sub(m->leaving, 1, __ATOMIC_SEQ_CST);
	switch (err) {
	case -EAGAIN:
		return 0; /* the write queue is full, which is found behind the MSS */
	case -EPIPE:
		return -ECONNRESET;
	case -EINTR:
	case -ENOMEM:
	case -ENOBUFS:
	case -EPERM:
	case -EACCES:
		return -EBUSY;
	default:
		return err;
	}
}

/* Whether the sockops program can be asked to delete it, under the socket's lock. */
static bool is_asked(const struct stream *s)
{
	const struct maps *m = s->splice->by->maps;

	return m->collected && !(m->debug & SPLICE_DEBUG_NO_RCVLOWAT);
}

/* Asks it: see leave() in splice.bpf.c. It is called only while `leaving` is not 0. */
static void ask(struct stream *s, uint64_t taken)
{
	struct lane *lane = s->lane;

	lane->taken = taken;
	__atomic_store_n(&lane->leave, (uint16_t)(lane->leave + 1), __ATOMIC_SEQ_CST);
}

/* Whether it was done. Else it is withdrawn, for nobody expects it to leave later; the lock that
 * kernel_hold() takes waits for a call that has seen it. */
static bool has_left(struct stream *s)
{
	struct lane *lane = s->lane;
	uint16_t request = lane->leave;

	if (__atomic_load_n(&lane->left, __ATOMIC_SEQ_CST) == request)
		return true;
	__atomic_store_n(&lane->leave, lane->left, __ATOMIC_SEQ_CST);
	kernel_hold(s);
	if (__atomic_load_n(&lane->left, __ATOMIC_SEQ_CST) != request)
		return false;
	__atomic_store_n(&lane->leave, request, __ATOMIC_SEQ_CST);
	return true;
}

static int delete_locked(struct stream *s, bool safely)
{
	int err;

	ask(s, s->taken);
	err = compute_mss(s->splice->by->maps, s->source->fd);
	if (has_left(s))
		return 0;
	if (err)
		return err;
	/* An open source that did not leave is one for which sockops was not called: its flag is
	 * gone, or its acknowledgements have no room for an option (bpf_skops_hdr_opt_len()), as
	 * while three holes in what has come are reported. */
	if (kernel_passed(s) != s->taken)
		return -EAGAIN;
	return safely ? -EBUSY : delete_unlocked(s);
}

static int take_back(struct stream *s, bool safely)
{
	int err;

	kernel_hold(s);
	/* If it leaves on its own only now, sockops says so in its answer. */
	if (kernel_stopped(s))
		err = 0;
	else
		err = is_asked(s) ? delete_locked(s, safely) : delete_unlocked(s);
	if (err == -EAGAIN || err == -EBUSY)
		return err;
	kernel_kick(s);
	return err;
}

int kernel_take_back(struct stream *s)
{
	return take_back(s, false);
}

int kernel_take_back_safely(struct stream *s)
{
	return is_asked(s) ? take_back(s, true) : -EBUSY;
}

ssize_t kernel_read_and_leave(struct stream *s, struct msghdr *m, bool *left)
{
	bool asked = is_asked(s);
	ssize_t n;

	if (asked) {
		ask(s, LANE_ALL_READ);
		__atomic_fetch_add(s->splice->by->maps->leaving, 1, __ATOMIC_SEQ_CST);
	}
	do
		n = recvmsg(s->source->fd, m, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		n = -errno;
	if (asked)
		__atomic_fetch_sub(s->splice->by->maps->leaving, 1, __ATOMIC_SEQ_CST);
	*left = asked && has_left(s);
	if (*left)
		kernel_kick(s);
	return n;
}

void kernel_taken_badly(struct stream *s, int err)
{
	if (err == -EBADMSG)
		stream_corrupt(s);
	else
		stream_failed(s, s->source, -err);
}

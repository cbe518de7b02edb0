// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve.h"

#include <errno.h>
#include <sys/socket.h>

#include "../stats.h"
#include "../util.h"
#include "byhand.h"
#include "flush.h"
#include "lane.h"
#include "maps.h"
#include "take-back.h"
#include "wait.h"

/*
 * Bytes were handed up. Verdicts are held off while they are read: under a steady stream each would
 * hand up the next segment, for order's sake, and the stream would never get back to the kernel.
 */
void kernel_start_serving(struct stream *s)
{
	stat_inc(&s->splice->by->stats->served);
	kernel_hold(s);
	s->wait_since = 0;
	s->passed_seen = s->taken;
	stream_enter(s, STREAM_SERVING);
	stream_watch(s);
	stream_again(s);
}

/* What is taken up with one call, in units of splice_window: more than two, and all that a receive
 * buffer of the daemon's making holds. */
#define TAKEN_MOST 8

/*
 * Reads what was handed up, all of it with one call where it can: the receive window opens again
 * only then. It may be more than a receive buffer holds where it stood behind something of the
 * other direction. There is room for what was handed up since it was looked at, too, for unread it
 * would keep the source in the map.
 * Returns recvmsg()'s result or -errno; *left: see kernel_read_and_leave().
 */
static ssize_t take_up(struct stream *s, bool *left)
{
	size_t all = kernel_passed(s) - s->taken;
	size_t want = MIN(all, TAKEN_MOST * (size_t)kernel_window(s));
	struct iovec iov = {.iov_len = want == all ? want + LOOP_BUFFER : want};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (stream_room(s, iov.iov_len) < 0)
		return -ENOMEM;
	iov.iov_base = s->pending + s->pending_len;
	n = kernel_read_and_leave(s, &m, left);
	if (n <= 0)
		return n;
	s->pending_len += (uint32_t)n;
	s->taken += (uint64_t)n;
	s->wait_since = 0;
	s->source->received += (uint64_t)n;
	return n;
}

/* It has left the map with the read, and all that was handed up is pending. */
static void taken_with_the_read(struct stream *s)
{
	/* At least half of its window was full. */
	s->source->filled = true;
	if (kernel_passed(s) == s->taken)
		kernel_to_copy(s);
	else
		kernel_taken_badly(s, -EBADMSG);
}

/* Everything handed up is pending now: writing it is the copy engine's work. */
static void taken_up(struct stream *s)
{
	int err;

	if (s->source->fin_seen) {
		/* It stays in the map: nothing more will come, and it could not be put back. */
		if (!kernel_proved(s))
			return;
		kernel_give_up(s, COPY_HALF_CLOSED);
		kernel_kick(s);
		kernel_to_copy(s);
		return;
	}
	err = kernel_take_back(s);
	if (err == -EAGAIN)
		stream_again(s);
	else if (err == -EBUSY)
		stream_wait(s, false);
	else if (err)
		kernel_taken_badly(s, err);
	else
		kernel_to_copy(s); /* which engages it again when nothing is pending */
}

/*
 * Pending bytes beyond this are written before more is taken up: the bound of a stream's memory.
 * Where memory is scarce that is the first that was: behind a small window the source could fill it
 * again, and so be handed up, each time before it has left the map.
 */
static bool too_much(const struct stream *s)
{
	return s->pending_len > (s->source->share ? 0 : 2 * kernel_window(s));
}

/* No more comes in than has, whatever the sender does: see gate.h. */
static void shut_the_gate(const struct stream *s)
{
	*s->splice->by->maps->alert_ns = stream_now(s);
	__atomic_store_n(&s->lane->shut, 1, __ATOMIC_RELEASE);
}

/*
 * Whether more may be taken up now. Bytes of a budget are looked at by their protocol before they
 * are written, and it gets none before the stream has left the map. Usually that is with the read
 * that takes the last of them. But a sender on this host may fill the window between any two calls
 * of this thread, and do so each time where sockops cannot be asked, or the machine is busy. So it
 * is not let in any more: what has come can be read to its end, and then the stream leaves.
 */
static bool may_take_up(struct stream *s)
{
	if (!too_much(s))
		return true;
	if (stream_is_budgeted(s)) {
		shut_the_gate(s);
		return true;
	}
	copy_flush(s);
	return false;
}

/*
 * Whether what was handed up has stopped growing: the sender has filled the receive window, or has
 * no more for now. Then everything queued is handed up as well, because a read in the verdict map
 * finds nothing while the receive queue is not empty (tcp_bpf_recvmsg_parser()); one read takes it
 * all, and with verdicts held off again there is time to leave the map before the sender has filled
 * the window.
 */
static bool has_stopped_growing(struct stream *s)
{
	uint64_t handed = kernel_passed(s);

	if (handed == s->passed_seen)
		return true;
	s->passed_seen = handed;
	stream_wait(s, true);
	return false;
}

void kernel_serve(struct stream *s)
{
	bool left = false;
	ssize_t n = 1;

	if (!may_take_up(s) || !has_stopped_growing(s))
		return;
	kernel_kick(s);
	kernel_hold(s);
	if (kernel_passed(s) != s->taken)
		n = take_up(s, &left);
	if (n < 0 && n != -EAGAIN) {
		stream_failed(s, s->source, (int)-n);
	} else if (left) {
		taken_with_the_read(s);
	} else if (n < 0) {
		/* Handed up, but not readable yet: it may wait behind this socket's own backlog.
		 * What was read does not wait for that. */
		*s->splice->by->maps->alert_ns = stream_now(s);
		if (s->pending_len && !stream_is_budgeted(s))
			copy_flush(s);
		stream_wait(s, false);
	} else if (kernel_passed(s) == s->taken) {
		taken_up(s);
	} else if (n == 0) {
		/* Zero is also what a read gives while the last bytes are still on their way up. */
		kernel_await_proof(s);
	} else {
		stream_again(s);
	}
}

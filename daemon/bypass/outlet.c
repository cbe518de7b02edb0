// SPDX-License-Identifier: GPL-2.0-or-later
#include "outlet.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "../buffers.h"
#include "../splice/flush.h"
#include "../util.h"
#include "look.h"
#include "side.h"

static bool is_direct(const struct stream *s)
{
	return s->bypass->state == BYPASS_DIRECT || s->bypass->state == BYPASS_HELD;
}

bool outlet_must_wait(const struct stream *s)
{
	const struct bypass_stream *b = s->bypass;
	const struct way *way = b->way;

	if (!is_direct(s) || !s->source->readable ||
	    __atomic_load_n(&way->held, __ATOMIC_ACQUIRE) == b->holds)
		return false;
	return (int64_t)bypass_queued(b) > __atomic_load_n(&way->rest, __ATOMIC_RELAXED) ||
	       (way->there && way->unread);
}

void outlet_look(const struct stream *s)
{
	struct bypass_stream *b = s->bypass;
	uint32_t held = __atomic_load_n(&b->way->held, __ATOMIC_ACQUIRE);

	if (!is_direct(s) || !s->source->readable || held == b->holds)
		return;
	if (bypass_look(b))
		b->seen = held;
}

size_t outlet_read_size(const struct stream *s)
{
	const struct bypass_stream *b = s->bypass;
	uint32_t left = b->seen * BYPASS_TOKEN - b->dropped;

	if (!is_direct(s))
		return STREAM_READ;
	/* One byte lets nobody go on, and finds an end. */
	return (int32_t)left > 0 ? MIN(left, (uint32_t)STREAM_READ) : 1;
}

void outlet_ask(const struct stream *s)
{
	/* TCP makes a write queue larger for who was told that it is full. */
	if (s->bypass->way->unread)
		(void)conn_events(s->target);
}

int outlet_carry(struct stream *s)
{
	uint64_t before = s->copied;
	int err = stream_flush(s);

	if (s->copied != before)
		s->splice->active_ns = stream_now(s);
	if (err) {
		stream_failed(s, s->target, -err);
		return err;
	}
	return s->pending_len ? -EAGAIN : 0;
}

/*
 * A send of the source may have been told of its reset, and then nobody else is: that is seen by
 * looking.
 */
bool outlet_has_failed(struct stream *s)
{
	const struct way *way = s->bypass->way;
	int err;

	if (!way->outlet)
		return false;
	if (!s->target->failed && way->there && way->state == TCP_CLOSE) {
		err = conn_error(s->target->fd);
		stream_failed(s, s->target, err ? err : ECONNRESET);
	}
	return s->splice->ended || s->target->failed;
}

void outlet_bound(const struct stream *s)
{
	const struct bypass_stream *b = s->bypass;

	__atomic_store_n(&b->way->memory, s->target->share, __ATOMIC_RELAXED);
	/* What the daemon writes there itself is bounded by the socket alone. */
	if (s->target->share && s->pending_len && b->state == BYPASS_CARRYING) {
		bypass_ask_to_leave(b, WAY_MEMORY);
		stream_again(b->stream);
	}
}

void outlet_undo(const struct stream *s)
{
	int usual = 0;

	buffers_outlet(s->target, false);
	(void)setsockopt(s->target->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &usual, sizeof(usual));
}

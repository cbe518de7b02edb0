// SPDX-License-Identifier: GPL-2.0-or-later
#include "copy.h"

#include <errno.h>
#include <sys/socket.h>

#include "../util.h"
#include "adopt.h"
#include "byhand.h"
#include "drain.h"
#include "ending.h"
#include "engage.h"
#include "flush.h"
#include "lane.h"
#include "wait.h"

/* Reads of one stream in one turn, so that one busy session does not starve the others. */
#define TURN_READS 8

enum copy_result {
	COPY_IDLE,    /* the source has nothing more for now; nothing is pending */
	COPY_BLOCKED, /* the target has no room; something is pending */
	COPY_EOF,     /* the source's end was read; nothing is pending */
	COPY_MORE,    /* the turn's share is used up */
	COPY_FAILED,  /* the owner was told, or the splice has ended */
};

/* Whether the stream goes to the kernel as soon as nothing is pending. One without a lane has not
 * been given to it: budgets of the splice, which are over, say nothing of what comes after them. */
static bool wants_kernel(const struct stream *s)
{
	return s->lane && s->why_copy == COPY_NONE && !s->by_hand && !s->filter;
}

/* A stream is copied by hand until its source has nothing more for now, which makes it the slower
 * side and the stream the kernel's work, or until another one of the splicer has to wait as well.
 * Bulk in small segments is until nothing came for a while. */
static bool stays_by_hand(struct stream *s, enum copy_result r)
{
	bool bulk = stream_is_bulk_still(s);

	return (r != COPY_IDLE || bulk) && stream_stays_by_hand(s);
}

/* Writes len bytes, and keeps what the target does not take. */
static enum copy_result pass_on(struct stream *s, const char *data, size_t len)
{
	int err = stream_write(s, data, len);

	if (err) {
		stream_failed(s, s->target, -err);
		return COPY_FAILED;
	}
	return s->pending_len ? COPY_BLOCKED : COPY_MORE;
}

/* The source's end, after what a filter has held back. */
static enum copy_result at_end(struct stream *s)
{
	char *data = s->splice->by->loop->buffer + STREAM_FILTER_ROOM;
	size_t len = 0;

	stream_pass(s, &data, &len, true);
	return len ? pass_on(s, data, len) : COPY_EOF;
}

/* One read and the write of what it gave. */
static enum copy_result step(struct stream *s)
{
	char *data = s->splice->by->loop->buffer + (s->filter ? STREAM_FILTER_ROOM : 0);
	size_t size = stream_read_size(s), len;
	ssize_t n;

	if (s->filter)
		size = MIN(size, LOOP_BUFFER - STREAM_FILTER_ROOM);
	n = recv(s->source->fd, data, size, 0);
	if (n == 0)
		return at_end(s);
	if (n < 0) {
		if (errno == EINTR)
			return COPY_MORE;
		if (errno == EAGAIN) {
			s->source->readable = false;
			return COPY_IDLE;
		}
		if (s->source->failed)
			return at_end(s); /* the same error, told again */
		stream_failed(s, s->source, errno);
		return s->source->failed ? COPY_MORE : COPY_FAILED;
	}
	s->plenty = (size_t)n >= s->splice->settings->read_size;
	if ((size_t)n < size)
		conn_short_read(s->source);
	s->source->received += (uint64_t)n;
	s->splice->active_ns = stream_now(s);

	len = (size_t)n;
	stream_pass(s, &data, &len, false);
	return pass_on(s, data, len);
}

/* Writes what is pending, then reads and writes a fair share. */
static enum copy_result move(struct stream *s)
{
	enum copy_result r = COPY_MORE;

	if (s->pending_len) {
		uint64_t before = s->copied;
		int err = stream_flush(s);

		if (err) {
			stream_failed(s, s->target, -err);
			return COPY_FAILED;
		}
		if (s->copied != before)
			s->splice->active_ns = stream_now(s);
		if (s->pending_len)
			return COPY_BLOCKED;
		/* Nothing more is read by hand when the kernel can go on from here. */
		if (wants_kernel(s))
			return COPY_IDLE;
	}
	for (int i = 0; i < TURN_READS && r == COPY_MORE; i++) {
		if (!s->source->readable)
			return COPY_IDLE;
		r = step(s);
	}
	return r;
}

static void source_ended(struct stream *s)
{
	bool complete = true;
	int err = 0;

	/* Closed with unread bytes that only the bypass knows of. */
	if (!s->source->failed && s->way && s->way->discarded) {
		stream_failed(s, s->source, ECONNRESET);
		if (!s->source->failed)
			return;
	}
	if (s->source->failed) {
		stream_farewell(s);
		return;
	}
	if (s->lane || s->doubted)
		err = kernel_accounted(s, &complete);
	if (err) {
		stream_failed(s, s->source, -err);
		return;
	}
	if (!complete) {
		s->source->readable = true;
		kernel_await_proof(s);
		return;
	}
	stream_unwait(s);
	s->eof = true;
	stream_enter(s, STREAM_ENDING);
	stream_finish(s);
}

/* A young session that turns out to be busy goes to the kernel early. */
static void maybe_engage(struct stream *s)
{
	if (s->state != STREAM_COPY || s->splice->ended)
		return;
	if (splice_is_awaiting(s->splice) && s->copied >= s->splice->settings->early_bytes) {
		splice_adopt_now(s->splice);
		return;
	}
	/* Where the kernel does not want it any more, reading by hand goes on. */
	if (wants_kernel(s) && !s->pending_len && kernel_engage(s) < 0)
		stream_again(s);
}

static void copy_pump(struct stream *s)
{
	enum copy_result r;

	if (!stream_target_drained(s))
		return;
	if (wants_kernel(s) && !s->pending_len && kernel_engage(s) == 0)
		return;
	r = move(s);
	if (!stays_by_hand(s, r))
		s->by_hand = 0;
	switch (r) {
	case COPY_FAILED:
	case COPY_BLOCKED:
		return;
	case COPY_EOF:
		source_ended(s);
		return;
	case COPY_MORE:
		stream_again(s);
		break;
	case COPY_IDLE:
		break;
	}
	maybe_engage(s);
}

const struct engine engine_copy = {.pump = copy_pump};

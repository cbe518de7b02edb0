// SPDX-License-Identifier: GPL-2.0-or-later
#include "copy.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "../daemon.h"
#include "../session.h"
#include "../worker.h"
#include "kernel.h"

/* Reads of one stream in one turn, so that one busy session does not starve the others. */
#define TURN_READS 8

enum copy_result {
	COPY_IDLE,    /* the source has nothing more for now; nothing is pending */
	COPY_BLOCKED, /* the target has no room; something is pending */
	COPY_EOF,     /* the source's end was read; nothing is pending */
	COPY_MORE,    /* the turn's share is used up */
	COPY_FAILED,  /* the session has ended */
};

/* Writes `len` bytes; *ret is how many fitted, also in failure. 0 or a negative errno of the
 * target. */
static int write_some(struct stream *s, const char *data, size_t len, size_t *ret)
{
	size_t done = 0;
	int err = 0;

	while (!err && done < len && s->target->writable) {
		ssize_t n = send(s->target->fd, data + done, len - done, MSG_NOSIGNAL);

		if (n >= 0) {
			done += (size_t)n;
			continue;
		}
		if (errno == EAGAIN)
			s->target->writable = false;
		else if (errno != EINTR)
			err = -errno;
	}
	s->target->sent += done;
	s->copied += done;
	*ret = done;
	return err;
}

/* Writes what is pending. 0 or a negative errno of the target. */
static int flush(struct stream *s)
{
	size_t n;
	int err = write_some(s, s->pending + s->pending_at, s->pending_len, &n);

	if (err)
		return err;
	s->pending_at += (uint32_t)n;
	s->pending_len -= (uint32_t)n;
	if (!s->pending_len) {
		free(s->pending);
		s->pending = NULL;
		s->pending_at = 0;
	}
	return 0;
}

/* Whether the stream goes to the kernel as soon as nothing is pending. */
static bool wants_kernel(const struct stream *s)
{
	return s->session->adopted && s->why_copy == COPY_NONE && !s->by_hand && !s->filter;
}

/* A stream is copied by hand until its source has nothing more for now, which makes it the slower
 * side and the stream the kernel's work, or until another one of the worker has to wait as well. */
static bool stays_by_hand(const struct stream *s, enum copy_result r)
{
	return r != COPY_IDLE && stream_stays_by_hand(s);
}

/* Writes len bytes, and keeps what the target does not take. */
static enum copy_result pass_on(struct stream *s, const char *data, size_t len)
{
	size_t written;
	int err = write_some(s, data, len, &written);

	if (!err && written < len)
		err = stream_keep(s, data + written, len - written);
	if (written < len)
		s->plenty = false;
	if (err) {
		session_fail(s->session, s->target, -err);
		return COPY_FAILED;
	}
	return s->pending_len ? COPY_BLOCKED : COPY_MORE;
}

/* The source's end, after what a filter has held back. */
static enum copy_result at_end(struct stream *s)
{
	char *data = s->session->worker->loop.buffer + STREAM_FILTER_ROOM;
	size_t len = 0;

	stream_pass(s, &data, &len, true);
	return len ? pass_on(s, data, len) : COPY_EOF;
}

/* One read and the write of what it gave. */
static enum copy_result step(struct stream *s)
{
	char *data = s->session->worker->loop.buffer + (s->filter ? STREAM_FILTER_ROOM : 0);
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
		session_fail(s->session, s->source, errno);
		return s->source->failed ? COPY_MORE : COPY_FAILED;
	}
	s->plenty = (size_t)n >= s->session->worker->daemon->read_size;
	if ((size_t)n < size)
		conn_short_read(s->source);
	s->source->received += (uint64_t)n;
	s->session->active_ns = s->session->worker->loop.now;

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
		int err = flush(s);

		if (err) {
			session_fail(s->session, s->target, -err);
			return COPY_FAILED;
		}
		if (s->copied != before)
			s->session->active_ns = s->session->worker->loop.now;
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

	if (s->source->failed) {
		stream_farewell(s);
		return;
	}
	if (s->lane)
		err = kernel_accounted(s, &complete);
	if (err) {
		session_fail(s->session, s->source, -err);
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
	if (s->state != STREAM_COPY || s->session->state == SESSION_ENDED)
		return;
	if (s->session->awaiting && s->copied >= s->session->worker->daemon->early_bytes) {
		worker_adopt_now(s->session->worker, s->session);
		return;
	}
	/* Where the kernel does not want it any more, reading by hand goes on. */
	if (wants_kernel(s) && !s->pending_len && kernel_engage(s) < 0)
		stream_again(s);
}

void copy_flush(struct stream *s)
{
	int err;

	if (!stream_target_drained(s))
		return;
	err = flush(s);
	if (err)
		session_fail(s->session, s->target, -err);
	else if (!s->pending_len)
		stream_again(s);
	else
		stream_wait_drain(s, s->pending_len, 0);
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

const struct engine engine_copy = {.name = "copy", .pump = copy_pump};

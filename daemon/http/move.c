// SPDX-License-Identifier: GPL-2.0-or-later
#include "move.h"

#include <errno.h>

#include "../daemon.h"
#include "../listener.h"
#include "../splice/budget.h"
#include "../worker.h"
#include "input.h"
#include "out.h"

/* Reads of one body in one turn, so that one busy connection does not starve the others. */
#define TURN_READS 8

static enum side side_of(const struct stream *st)
{
	return st->target->side;
}

static bool wants_kernel(const struct session *s, const struct stream *st,
			 const struct http_body *b)
{
	uint64_t run = body_run(b), min = s->listener->config->body_splice_min;

	/* Of a body that lasts until the end nobody knows whether it is worth it before it is. */
	if (run == UINT64_MAX && b->moved < min)
		return false;
	return run >= min && !st->pending_len && !st->by_hand && budget_possible(s, st);
}

/* Gives the run to the kernel. */
static bool engage(struct session *s, struct stream *st, struct http_body *b)
{
	if (budget_engage(s->worker, st, body_run(b)) < 0)
		return false;
	s->http->request->spliced = true;
	return true;
}

static int write_spans(struct session *s, struct stream *st, struct body_spans *spans)
{
	int err = http_write(s, side_of(st), spans->iov, spans->n);

	if (err)
		http_fail(s, st->target, -err);
	return err;
}

/* What the kernel has moved of its budget is part of the body. */
static enum move_result settle(struct session *s, struct stream *st, struct http_body *b)
{
	struct body_spans spans = {.n = 0};

	body_skip(b, budget_settle(s->worker, st));
	body_settle(b, &spans);
	return write_spans(s, st, &spans) ? MOVE_FAILED : MOVE_WAIT;
}

/* One piece of input. MOVE_WAIT here: go on. */
static enum move_result one_piece(struct session *s, struct stream *st, struct http_body *b,
				  const struct input *in, bool *short_of)
{
	struct body_spans spans = {.n = 0};
	ssize_t used = body_take(b, in->data, in->len, &spans);
	bool failed;

	if (used < 0)
		return MOVE_BAD;
	*short_of = used == 0;
	/* Another stream of the worker has to wait as well: see pause.c. */
	if (!stream_stays_by_hand(s->worker, st))
		st->by_hand = 0;
	failed = write_spans(s, st, &spans) != 0;
	if (s->state != SESSION_HTTP)
		return MOVE_FAILED;
	/* Also where the target has failed: they are no part of the next request. */
	if (input_used(s, st, in, (size_t)used) < 0) {
		session_end(s, END_LIMIT);
		return MOVE_FAILED;
	}
	if (failed)
		return MOVE_FAILED;
	return b->done ? MOVE_DONE : MOVE_WAIT;
}

enum move_result move_body(struct session *s, struct stream *st, struct http_body *b)
{
	enum move_result r = st->lane ? settle(s, st, b) : MOVE_WAIT;
	bool short_of = false; /* what is pending is less than the next thing to take */
	struct input in;

	for (int i = 0; i < TURN_READS && r == MOVE_WAIT; i++) {
		if (b->done)
			return MOVE_DONE;
		if (s->http->out[side_of(st)].len)
			return MOVE_WAIT;
		if (wants_kernel(s, st, b) && engage(s, st, b))
			return MOVE_WAIT;
		switch (short_of ? input_more(s, st, &in) : input_get(s, st, &in)) {
		case INPUT_NONE:
			/* A source that gives no more for now is slower than its target: the
			 * kernel's work. */
			if (st->by_hand)
				stream_again(s->worker, st);
			st->by_hand = 0;
			return MOVE_WAIT;
		case INPUT_END:
			return MOVE_END;
		case INPUT_SOME:
			short_of = false;
			r = one_piece(s, st, b, &in, &short_of);
		}
	}
	if (r == MOVE_WAIT)
		stream_again(s->worker, st);
	return r;
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "move.h"

#include "../listener.h"
#include "../splice/budget.h"
#include "input.h"
#include "out.h"

/* Reads of one body in one turn, so that one busy connection does not starve the others. */
#define TURN_READS 8
/* So many bytes in short pieces are the work of a turn: each piece of a few bytes costs as much as
 * one of thousands. */
#define TURN_GATHERED (16 * 1024)

static enum side side_of(const struct stream *st)
{
	return st->target->side;
}

static bool wants_kernel(const struct session *s, struct stream *st, const struct http_body *b)
{
	uint64_t run = body_run(b), min = s->listener->config->body_splice_min;

	/* Of a body that lasts until the end nobody knows whether it is worth it before it is. */
	if (run == UINT64_MAX && b->moved < min)
		return false;
	return run >= min && !st->pending_len && !st->by_hand && budget_possible(st, run);
}

/* Gives the run to the kernel. */
static bool engage(struct session *s, struct stream *st, struct http_body *b)
{
	if (budget_engage(st, body_run(b)) < 0)
		return false;
	s->http->request->spliced = true;
	return true;
}

static int write_spans(struct session *s, struct stream *st, struct body_spans *spans)
{
	int err;

	if (side_of(st) == SIDE_BACKEND)
		http_replay_note(s, spans->iov, spans->n);
	err = http_write(s, side_of(st), spans->iov, spans->n);

	if (err)
		http_fail(s, st->target, -err);
	return err;
}

/* What the kernel has moved of its budget is part of the body. */
static enum move_result settle(struct session *s, struct stream *st, struct http_body *b)
{
	char line[BODY_SETTLE_ROOM];
	struct body_spans spans;

	body_spans_init(&spans, line, sizeof(line));
	body_skip(b, budget_settle(st));
	body_settle(b, &spans);
	return write_spans(s, st, &spans) ? MOVE_FAILED : MOVE_WAIT;
}

/* What a body has had of its turn. */
struct turn {
	int reads;
	size_t gathered;
	bool short_of; /* what is pending is less than the next thing to take */
};

static bool is_over(const struct turn *t)
{
	return t->reads >= TURN_READS || t->gathered >= TURN_GATHERED;
}

/* One piece of input. MOVE_WAIT here: go on. */
static enum move_result one_piece(struct session *s, struct stream *st, struct http_body *b,
				  const struct input *in, struct turn *turn)
{
	struct body_spans spans;
	size_t used;
	bool failed;

	body_spans_init(&spans, s->home->scratch, HOME_SCRATCH);
	used = body_take(b, in->data, in->len, &spans);
	turn->short_of = used == 0;
	turn->gathered += spans.at;
	turn->reads++;
	/* Another stream of the worker has to wait as well: see pause.c. */
	if (!stream_stays_by_hand(st))
		st->by_hand = 0;
	failed = write_spans(s, st, &spans) != 0;
	/* Also where the target has failed: they are no part of the next request. */
	if (input_used(s, st, in, used) < 0) {
		session_end(s, END_LIMIT);
		return MOVE_FAILED;
	}
	if (failed)
		return MOVE_FAILED;
	if (b->error)
		return MOVE_BAD;
	/* The next read is a large one only where this one was, and all of it is on its way. */
	if (used < in->len || spans.at >= TURN_GATHERED || s->http->out[side_of(st)].len)
		st->plenty = false;
	return b->done ? MOVE_DONE : MOVE_WAIT;
}

enum move_result move_body(struct session *s, struct stream *st, struct http_body *b)
{
	enum move_result r = st->lane ? settle(s, st, b) : MOVE_WAIT;
	struct turn turn = {0};
	struct input in;

	while (r == MOVE_WAIT && !is_over(&turn)) {
		if (b->done)
			return MOVE_DONE;
		if (b->error)
			return MOVE_BAD;
		if (s->http->out[side_of(st)].len)
			return MOVE_WAIT;
		if (wants_kernel(s, st, b) && engage(s, st, b))
			return MOVE_WAIT;
		switch (turn.short_of ? input_more(s, st, &in) : input_get(s, st, &in)) {
		case INPUT_NONE:
			/* A source that gives no more for now is slower than its target: the
			 * kernel's work. */
			if (st->by_hand)
				stream_again(st);
			st->by_hand = 0;
			return MOVE_WAIT;
		case INPUT_END:
			return MOVE_END;
		case INPUT_SOME:
			r = one_piece(s, st, b, &in, &turn);
		}
	}
	if (r == MOVE_WAIT)
		stream_again(st);
	return r;
}

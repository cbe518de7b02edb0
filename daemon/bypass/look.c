// SPDX-License-Identifier: GPL-2.0-or-later
#include "look.h"

#include <string.h>

#include "../log.h"
#include "../splice/stream.h"
#include "../stats.h"
#include "../util.h"
#include "maps.h"
#include "pair.h"

/* How soon it is looked again: how quickly a source goes on decides the throughput. */
#define WAIT_MIN_NS (100 * NSEC_PER_USEC)
#define WAIT_MAX_NS (5 * NSEC_PER_MSEC)
#define PATIENCE_NS NSEC_PER_SEC

/* Looks at those; it fails for want of memory, say, and another look comes: until then there may be
 * something unread, though the last one has seen nothing. */
static bool look(struct splicer *by, const uint32_t *ways, size_t n)
{
	int err = bypass_peek(by->bypass, by->index, ways, n);

	if (!err)
		return true;
	log_debug("looking at %zu bypassed streams: %s", n, strerror(-err));
	for (size_t i = 0; i < n; i++) {
		struct way *way = &by->bypass->ways[ways[i]];

		way->queued = MAX(way->queued, 1);
	}
	return false;
}

/* The target's socket blocks by now: a recv() of one in a map may fail with EAGAIN, so neither way
 * is gone any longer. */
static void mind_blocking(const struct bypass_stream *b)
{
	const struct stream *s = b->stream;

	if (!b->way->there || b->way->file != 1 || s->splice->settings->bypass_trusts_all ||
	    b->way->leave)
		return;
	for (int d = UP; d <= DOWN; d++) {
		bypass_ask_to_leave(&s->splice->bypass->sides[d], WAY_BLOCKING);
		stream_again(&s->splice->streams[d]);
	}
}

/* What the target has read since the last look is a movement. */
static void note(struct bypass_stream *b)
{
	int32_t queued = bypass_queued(b);
	uint64_t read = stream_moved(b->stream) - (uint64_t)queued;
	struct splice *sp = b->stream->splice;

	if (queued == b->queued)
		b->backoff = MIN(MAX(b->backoff * 2, WAIT_MIN_NS), WAIT_MAX_NS);
	else
		b->backoff = WAIT_MIN_NS;
	if (read != b->read)
		sp->active_ns = sp->by->loop->now;
	if (!queued)
		b->injected = 0;
	mind_blocking(b);
	b->queued = queued;
	b->read = read;
}

bool bypass_look(struct bypass_stream *b)
{
	if (!look(b->stream->splice->by, &b->index, 1))
		return false;
	note(b);
	return true;
}

static void forget_due(struct bypass_stream *b)
{
	if (b->is_due)
		TAILQ_REMOVE(&b->stream->splice->by->due, b, link);
	b->is_due = false;
}

/* One call for as many as it takes, then each of them has its turn. */
static void look_at_due(struct task *t)
{
	struct splicer *by = container_of(t, struct splicer, look);
	uint32_t ways[BYPASS_LOOKS];
	struct bypass_stream *b;
	size_t n = 0;

	TAILQ_FOREACH (b, &by->due, link) {
		if (n == BYPASS_LOOKS)
			break;
		ways[n++] = b->index;
		b->fresh = true;
	}
	if (n)
		(void)look(by, ways, n);
	while ((b = TAILQ_FIRST(&by->due)) && b->fresh) {
		forget_due(b);
		note(b);
		b->waiting = b->patient = false;
		stat_inc(&by->stats->looks);
		stream_again(b->stream);
	}
	if (!TAILQ_EMPTY(&by->due))
		loop_again(by->loop, &by->look);
}

static void on_time(struct timer *t)
{
	struct bypass_stream *b = container_of(t, struct bypass_stream, timer);
	struct splicer *by = b->stream->splice->by;

	if (!b->is_due) {
		b->is_due = true;
		TAILQ_INSERT_TAIL(&by->due, b, link);
	}
	loop_again(by->loop, &by->look);
}

static void wait_for(struct bypass_stream *b, uint64_t ns)
{
	struct splicer *by = b->stream->splice->by;

	if (b->waiting || b->stream->splice->ended)
		return;
	b->waiting = true;
	b->timer.fire = on_time;
	loop_timer_set(by->loop, &b->timer, by->loop->now + ns);
}

void bypass_wait(struct bypass_stream *b)
{
	if (b->patient)
		bypass_unwait(b);
	wait_for(b, MAX(b->backoff, WAIT_MIN_NS));
}

void bypass_wait_patiently(struct bypass_stream *b)
{
	if (b->waiting)
		return;
	b->patient = true;
	b->patience = MIN(MAX(b->patience * 2, WAIT_MIN_NS), PATIENCE_NS);
	wait_for(b, b->patience);
}

void bypass_unwait(struct bypass_stream *b)
{
	b->waiting = b->patient = b->fresh = false;
	forget_due(b);
	loop_timer_cancel(b->stream->splice->by->loop, &b->timer);
}

void bypass_looks_init(struct splicer *by)
{
	TAILQ_INIT(&by->due);
	by->look.run = look_at_due;
}

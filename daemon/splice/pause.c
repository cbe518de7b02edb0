// SPDX-License-Identifier: GPL-2.0-or-later
#include "pause.h"

#include <errno.h>

#include "../stats.h"
#include "../util.h"
#include "byhand.h"
#include "engage.h"
#include "lane.h"
#include "serve.h"
#include "take-back.h"
#include "wait.h"

/*
 * A stream that is the only one of its splicer to be paused is copied by hand after a pause, if its
 * target is a fast one. When the target's write queue is full the kernel looks again a timer tick
 * later, so on its own it would leave one stream, and an idle processor, waiting. With several
 * streams they fill each other's gaps, and a slow target is busy for longer than a tick with what
 * it has: there the kernel's path is the cheaper one.
 */
#define ALONE_NS    (50 * NSEC_PER_MSEC)
#define FAST_PER_MS UINT64_C(100000) /* bytes; 0.8 Gbit/s */

void kernel_consider_pause(struct stream *s)
{
	const struct splice_settings *c = s->splice->settings;
	struct lane *lane = s->lane;
	/* A mark that memory_max has lowered lowers both. */
	uint64_t low = lane->high < c->high ? lane->high / 2 : c->low;
	uint64_t backlog = 0, unsent = 0;
	int err = kernel_backlog(s, stream_redirected(s), &backlog, &unsent);

	if (err) {
		stream_failed(s, s->target, -err);
		return;
	}
	if (lane->mem_old + lane->mem_new > lane->mem_high)
		low = MIN(low, unsent / 2);
	__atomic_store_n(&lane->pause_seen, __atomic_load_n(&lane->pause_wanted, __ATOMIC_ACQUIRE),
			 __ATOMIC_RELEASE);
	/* One that was stopped is out, needed or not. */
	if (unsent <= low && !kernel_stopped(s))
		return;

	err = kernel_take_back(s);
	if (err == -EBUSY) {
		kernel_kick(s); /* another pause is asked for with the next segment */
		return;
	}
	if (err == -EAGAIN) {
		kernel_start_serving(s);
		return;
	}
	if (err) {
		kernel_taken_badly(s, err);
		return;
	}
	s->low = low;
	s->paused_at = stream_now(s);
	s->paused_unsent = unsent;
	s->pauses++;
	stat_inc(&s->splice->by->stats->pauses);
	stream_enter(s, STREAM_PAUSED);
	stream_wait(s, true);
}

/* Whether no other stream of the splicer has been paused lately. */
static bool is_alone(const struct stream *s)
{
	if (s->splice->by->last_paused != s)
		s->splice->by->company_ns = stream_now(s);
	s->splice->by->last_paused = s;
	return stream_now(s) - s->splice->by->company_ns > ALONE_NS;
}

/* Whether the target took what was unsent at a rate at which timer ticks matter. */
static bool is_fast(const struct stream *s, uint64_t unsent)
{
	uint64_t took = s->paused_unsent - MIN(unsent, s->paused_unsent);

	return took >= (stream_now(s) - s->paused_at) * FAST_PER_MS / NSEC_PER_MSEC;
}

void kernel_paused(struct stream *s)
{
	uint64_t backlog = 0, unsent = 0;
	int err = kernel_backlog(s, stream_redirected(s), &backlog, &unsent);

	if (err) {
		stream_failed(s, s->target, -err);
		return;
	}
	if (unsent > s->low) {
		stream_wait_drain(s, unsent - s->low, s->low);
		return;
	}
	stream_unwait(s);
	stat_inc(&s->splice->by->stats->resumes);
	if (is_alone(s) && is_fast(s, unsent) && !backlog && !s->source->fin_seen) {
		s->by_hand = stream_now(s);
		s->hand_from = s->copied;
		kernel_to_copy(s);
		return;
	}
	if (kernel_engage(s) == 0) {
		stream_again(s);
		return;
	}
	if (s->why_copy == COPY_NONE)
		return; /* tried again in the next turn */
	/* The source has ended meanwhile: its tail is copied. */
	kernel_to_copy(s);
}

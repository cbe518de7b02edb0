// SPDX-License-Identifier: GPL-2.0-or-later
#include "pause.h"

#include <errno.h>

#include "../stats.h"
#include "../util.h"
#include "byhand.h"
#include "choice.h"
#include "engage.h"
#include "lane.h"
#include "serve.h"
#include "take-back.h"
#include "wait.h"

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
	if (unsent <= low)
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

void kernel_consider_copy(struct stream *s)
{
	int err;

	/* What was handed up, and an end, lead to the copy engine anyway. */
	if (s->state != STREAM_ENGAGED || s->source->fin_seen || kernel_passed(s) != s->taken ||
	    !choice_after_run(s))
		return;
	err = kernel_take_back_locked(s);
	if (err == -EBUSY) {
		kernel_kick(s); /* it is told again after as many messages */
	} else if (err == -EAGAIN) {
		kernel_start_serving(s);
	} else if (err) {
		kernel_taken_badly(s, err);
	} else {
		choice_begin(s, CHOICE_SMALL);
		kernel_to_copy(s);
	}
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
	if (choice_after_pause(s, unsent) && !backlog && !s->source->fin_seen) {
		choice_begin(s, CHOICE_LONE);
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

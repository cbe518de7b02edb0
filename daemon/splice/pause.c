// SPDX-License-Identifier: GPL-2.0-or-later
/* Pausing: a source waits out of the verdict map until its target has drained. */
#include <errno.h>

#include "../daemon.h"
#include "../session.h"
#include "../worker.h"
#include "kernel-parts.h"
#include "kernel.h"

/*
 * A stream whose target is the slower side, and the only one of its worker that waits, is copied
 * for this many bytes after each pause. When the target's write queue is full the kernel looks
 * again a timer tick later, so on its own it would leave one stream, and an idle processor,
 * waiting; with several streams they fill each other's gaps, and the kernel's path is the cheaper
 * one.
 */
#define BY_HAND  (UINT64_C(8) << 20)
#define ALONE_NS (50 * NSEC_PER_MSEC)

void kernel_consider_pause(struct worker *w, struct stream *s)
{
	uint64_t low = w->daemon->config->splice_low, backlog = 0, unsent = 0;
	struct lane *lane = s->lane;
	int err = kernel_backlog(s, &backlog, &unsent);

	if (err) {
		session_fail(s->session, s->target, -err);
		return;
	}
	if (lane->mem_old + lane->mem_new > lane->mem_high)
		low = MIN(low, unsent / 2);
	__atomic_store_n(&lane->pause_seen, __atomic_load_n(&lane->pause_wanted, __ATOMIC_ACQUIRE),
			 __ATOMIC_RELEASE);
	if (unsent <= low)
		return;

	err = kernel_take_back(w, s);
	if (err == -EBUSY) {
		kernel_kick(s->source); /* another pause is asked for with the next segment */
		return;
	}
	if (err == -EAGAIN) {
		kernel_start_serving(w, s);
		return;
	}
	if (err) {
		kernel_taken_badly(s, err);
		return;
	}
	s->low = low;
	s->pauses++;
	stat_inc(&w->stats.pauses);
	stream_enter(s, STREAM_PAUSED);
	stream_wait(w, s, true);
}

/* Whether no other stream of the worker has been paused lately. */
static bool is_alone(struct worker *w, const struct stream *s)
{
	if (w->last_paused != s)
		w->company_ns = w->now;
	w->last_paused = s;
	return w->now - w->company_ns > ALONE_NS;
}

void kernel_paused(struct worker *w, struct stream *s)
{
	uint64_t backlog = 0, unsent = 0;
	int err = kernel_backlog(s, &backlog, &unsent);

	if (err) {
		session_fail(s->session, s->target, -err);
		return;
	}
	if (unsent > s->low) {
		stream_wait_drain(w, s, unsent - s->low);
		return;
	}
	stream_unwait(w, s);
	stat_inc(&w->stats.resumes);
	if (is_alone(w, s) && !backlog && !s->source->fin_seen) {
		s->by_hand = BY_HAND;
		kernel_to_copy(w, s);
		return;
	}
	if (kernel_engage(w, s) == 0) {
		stream_again(w, s);
		return;
	}
	if (s->engine == &engine_kernel)
		return; /* tried again in this turn */
	/* The source has ended meanwhile: its tail is copied. */
	kernel_to_copy(w, s);
}

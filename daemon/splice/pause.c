// SPDX-License-Identifier: GPL-2.0-or-later
/* Pausing: a source waits out of the verdict map until its target has drained. */
#include <errno.h>

#include "../daemon.h"
#include "../session.h"
#include "../worker.h"
#include "kernel-parts.h"
#include "kernel.h"

/*
 * A stream that is the only one of its worker to be paused is copied by hand after a pause, if its
 * target is a fast one. When the target's write queue is full the kernel looks again a timer tick
 * later, so on its own it would leave one stream, and an idle processor, waiting. With several
 * streams they fill each other's gaps, and a slow target is busy for longer than a tick with what
 * it has: there the kernel's path is the cheaper one.
 */
#define ALONE_NS    (50 * NSEC_PER_MSEC)
#define FAST_PER_MS UINT64_C(100000) /* bytes; 0.8 Gbit/s */

void kernel_consider_pause(struct stream *s)
{
	uint64_t low = s->session->worker->daemon->config->splice_low, backlog = 0, unsent = 0;
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
	s->paused_at = s->session->worker->loop.now;
	s->paused_left = unsent;
	s->pauses++;
	stat_inc(&s->session->worker->stats.pauses);
	stream_enter(s, STREAM_PAUSED);
	stream_wait(s, true);
}

/* Whether no other stream of the worker has been paused lately. */
static bool is_alone(const struct stream *s)
{
	if (s->session->worker->last_paused != s)
		s->session->worker->company_ns = s->session->worker->loop.now;
	s->session->worker->last_paused = s;
	return s->session->worker->loop.now - s->session->worker->company_ns > ALONE_NS;
}

/* Whether the target took what was unsent at a rate at which timer ticks matter. */
static bool is_fast(const struct stream *s, uint64_t unsent)
{
	uint64_t took = s->paused_left - MIN(unsent, s->paused_left);

	return took >= (s->session->worker->loop.now - s->paused_at) * FAST_PER_MS / NSEC_PER_MSEC;
}

void kernel_paused(struct stream *s)
{
	uint64_t backlog = 0, unsent = 0;
	int err = kernel_backlog(s, &backlog, &unsent);

	if (err) {
		session_fail(s->session, s->target, -err);
		return;
	}
	if (unsent > s->low) {
		stream_wait_drain(s, unsent - s->low, s->low);
		return;
	}
	stream_unwait(s);
	stat_inc(&s->session->worker->stats.resumes);
	if (is_alone(s) && is_fast(s, unsent) && !backlog && !s->source->fin_seen) {
		s->by_hand = s->session->worker->loop.now;
		s->hand_from = s->copied;
		kernel_to_copy(s);
		return;
	}
	if (kernel_engage(s) == 0) {
		stream_again(s);
		return;
	}
	if (s->engine == &engine_kernel)
		return; /* tried again in this turn */
	/* The source has ended meanwhile: its tail is copied. */
	kernel_to_copy(s);
}

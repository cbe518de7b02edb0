// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel.h"

#include "budget.h"
#include "bulk.h"
#include "byhand.h"
#include "ending.h"
#include "lane.h"
#include "pause.h"
#include "serve.h"
#include "take-back.h"
#include "wait.h"

static void engaged(struct stream *s)
{
	struct lane *lane = s->lane;
	bool budgeted = stream_is_budgeted(s);

	if (kernel_passed(s) != s->taken) {
		stream_unwait(s);
		kernel_start_serving(s);
		return;
	}
	if (budgeted && (budget_spent(s) || s->target->fd < 0) && !s->source->fin_seen) {
		budget_revoke(s);
		return;
	}
	/* What was stopped may be seen later than the pause that it asked for. */
	if (__atomic_load_n(&lane->pause_wanted, __ATOMIC_ACQUIRE) != lane->pause_seen ||
	    kernel_stopped(s)) {
		kernel_consider_pause(s);
		if (s->state != STREAM_ENGAGED || s->splice->ended)
			return;
	}
	if (!budgeted) {
		bulk_look(s);
		if (s->state != STREAM_ENGAGED || s->splice->ended)
			return;
	}
	if (!s->source->fin_seen || !kernel_proved(s))
		return;
	if (budgeted) {
		/* What the end means is for HTTP to say. */
		kernel_kick(s);
		kernel_to_copy(s);
		return;
	}
	s->eof = true;
	stream_unwait(s);
	stream_enter(s, STREAM_ENDING);
	stream_watch(s);
	stream_finish(s);
}

void kernel_pump(struct stream *s)
{
	if (s->state == STREAM_ENGAGED)
		engaged(s);
	else if (s->state == STREAM_SERVING)
		kernel_serve(s);
	else if (s->state == STREAM_PAUSED)
		kernel_paused(s);
}

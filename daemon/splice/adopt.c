// SPDX-License-Identifier: GPL-2.0-or-later
#include "adopt.h"

#include "../bypass/bypass.h"
#include "../stats.h"
#include "../util.h"
#include "byhand.h"
#include "engage.h"

static void give_up_both(struct splice *sp, enum copy_reason why)
{
	kernel_give_up(&sp->streams[UP], why);
	kernel_give_up(&sp->streams[DOWN], why);
}

/* Whether its applications are to be joined, and nobody has tried. */
static bool awaits_bypass(const struct splice *sp)
{
	return sp->wants_bypass && !sp->bypass;
}

static void give_to_kernel(struct splice *sp)
{
	enum copy_reason refused = splicer_refuses(sp->by);
	int err = 0;

	if (sp->streams[UP].state != STREAM_COPY || sp->streams[DOWN].state != STREAM_COPY) {
		give_up_both(sp, COPY_HALF_CLOSED);
		return;
	}
	if (refused) {
		give_up_both(sp, refused);
		return;
	}
	for (int i = 0; !err && i < 2; i++)
		err = kernel_share(&sp->streams[i], sp->settings->budget);
	if (err) {
		give_up_both(sp, kernel_reason(err));
		return;
	}
	kernel_adopted(sp);
	for (int i = 0; i < 2; i++) {
		struct stream *s = &sp->streams[i];

		s->why_copy = COPY_NONE;
		/* Pending bytes go first, and so does a filter; the copy engine engages it after
		 * them. */
		if (!sp->ended && !s->pending_len && !s->filter)
			(void)kernel_engage(s);
	}
}

void splice_adopt_now(struct splice *sp)
{
	splice_enlist(sp, NULL);
	/* What is left of it is written, and nothing more: bytes of a peer may be lost already. */
	if (sp->streams[UP].source->failed || sp->streams[DOWN].source->failed) {
		give_up_both(sp, COPY_HALF_CLOSED);
	} else if (!awaits_bypass(sp)) {
		give_to_kernel(sp);
	} else if (!bypass_begin(sp)) {
		sp->wants_bypass = false;
		splice_choose_engine(sp);
	}
}

/* Those that are old enough. */
static void on_adopt(struct timer *t)
{
	struct splicer *by = container_of(t, struct splicer, adopt_timer);
	uint64_t now = by->loop->now;
	struct splice *sp;

	while ((sp = TAILQ_FIRST(&by->awaiting)) && sp->adopt_ns <= now + LOOP_SLACK_NS)
		splice_adopt_now(sp);
	if (sp)
		loop_timer_set(by->loop, t, MAX(sp->adopt_ns, now + NSEC_PER_MSEC));
}

void splice_adopt_later(struct splice *sp)
{
	struct splicer *by = sp->by;

	sp->adopt_ns = by->loop->now + sp->settings->engage_after;
	splice_enlist(sp, &by->awaiting);
	by->adopt_timer.fire = on_adopt;
	if (!timer_is_set(&by->adopt_timer))
		loop_timer_set(by->loop, &by->adopt_timer, sp->adopt_ns);
}

/* Why it is copied at first. */
static enum copy_reason first_reason(const struct splice *sp)
{
	const struct stream *up = &sp->streams[UP];

	if (sp->settings->copy_only)
		return COPY_CONFIG;
	if (!sp->by->maps)
		return COPY_UNAVAILABLE;
	if (!up->source->tcp || !up->target->tcp)
		return COPY_UNIX;
	if (up->source->foreign)
		return COPY_FOREIGN;
	return COPY_YOUNG;
}

void stream_adopt(struct stream *s)
{
	enum copy_reason why = first_reason(s->splice);
	int err;

	if (why != COPY_YOUNG)
		return;
	why = splicer_refuses(s->splice->by);
	if (why) {
		kernel_give_up(s, why);
		return;
	}
	err = kernel_share(s, s->splice->settings->budget);
	if (err) {
		kernel_give_up(s, kernel_reason(err));
		return;
	}
	kernel_adopted(s->splice);
	s->why_copy = COPY_NONE;
	/* The copy engine engages it, when nothing is pending. */
	stream_again(s);
}

/* One that the bypass has refused is old enough. */
void splice_choose_engine(struct splice *sp)
{
	enum copy_reason why = awaits_bypass(sp) ? COPY_YOUNG : first_reason(sp);
	struct stats *stats = sp->by->stats;

	for (int i = 0; i < 2; i++) {
		sp->streams[i].why_copy = why;
		if (why != COPY_YOUNG)
			stat_inc(&stats->copy_reasons[why]);
	}
	if (why != COPY_YOUNG) {
		sp->copied_only = true;
		stat_inc(&stats->sessions_copy);
	} else if (sp->settings->engage_after && !sp->bypass) {
		splice_adopt_later(sp);
	} else {
		splice_adopt_now(sp);
	}
}

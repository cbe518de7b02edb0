// SPDX-License-Identifier: GPL-2.0-or-later
#include "choice.h"

#include "../stats.h"
#include "../util.h"
#include "maps.h"

/* ---- a lone stream ---------------------------------------------------------------------- */

#define ALONE_NS    (50 * NSEC_PER_MSEC)
#define FAST_PER_MS UINT64_C(100000) /* bytes; 0.8 Gbit/s */
/* How much is copied before the kernel has another try: it may be the better by then. */
#define LONE_MAX (UINT64_C(256) << 20)

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

bool choice_after_pause(struct stream *s, uint64_t unsent)
{
	return is_alone(s) && is_fast(s, unsent);
}

/* Until another one of the splicer has to wait as well. */
static bool stays_lone(const struct stream *s)
{
	return s->splice->by->company_ns <= s->chosen_at && s->copied - s->chosen_from < LONE_MAX;
}

/* ---- small messages --------------------------------------------------------------------- */

/* Longer silence by hand, and the kernel gets it: ten times what the verdict program takes for soon
 * (LANE_SMALL_GAP_NS). */
#define RARE_MS 1000
/* A large read counts so much, and a small one takes 1 off: where they lead by so much, the kernel
 * gets it, so four in a row. By more, each time twice as much, where it soon came back the last
 * time. */
#define LARGE_COUNTS 2
#define LEAD_MIN     8
#define LEAD_MAX     2048
#define SOON_MS      1000
/* Splices counted for so long; that many make it worth copying, and fewer than half of them not. */
#define CROWD_NS  NSEC_PER_SEC
#define CROWD_MIN 4

static uint32_t now_ms(const struct stream *s)
{
	return (uint32_t)(stream_now(s) / NSEC_PER_MSEC);
}

static bool is_restless(const struct stream *s)
{
	return s->splice->by->maps && s->splice->by->maps->debug & SPLICE_DEBUG_RESTLESS;
}

/* The stream's splice has small messages. */
static void join_crowd(const struct stream *s)
{
	struct splicer *by = s->splice->by;
	uint64_t time = stream_now(s) - by->crowd_ns;

	if (time >= CROWD_NS) {
		by->crowd = time < 2 * CROWD_NS ? by->crowding : 0;
		by->crowding = 0;
		by->crowd_ns = stream_now(s);
		by->crowd_time++;
	}
	if (s->splice->crowd_time == by->crowd_time)
		return;
	s->splice->crowd_time = by->crowd_time;
	by->crowding++;
}

/* Whether at least so many splices of the splicer have small messages. */
static bool is_crowd(const struct stream *s, uint32_t number)
{
	const struct splicer *by = s->splice->by;

	return MAX(by->crowd, by->crowding) >= number || is_restless(s);
}

bool choice_after_run(struct stream *s)
{
	join_crowd(s);
	return is_crowd(s, CROWD_MIN);
}

void choice_read(struct stream *s, size_t n)
{
	uint32_t now = now_ms(s), gap = s->read_ms ? now - s->read_ms : 0;
	bool large = n > LANE_SMALL || is_restless(s);

	if (!s->splice->settings->choose)
		return;
	s->read_ms = now;
	s->small = !large && gap <= RARE_MS;
	if (s->small)
		join_crowd(s);
	if (large)
		s->large_lead = (uint16_t)MIN(s->large_lead + LARGE_COUNTS, LEAD_MAX);
	else if (s->large_lead)
		s->large_lead--;
	if (s->choice != CHOICE_SMALL)
		return;
	if (s->large_lead >= s->lead_needed || gap > RARE_MS || !is_crowd(s, CROWD_MIN / 2))
		choice_end(s);
}

bool choice_postpones(struct splice *sp)
{
	bool small = false;

	if (!sp->settings->choose || !is_crowd(&sp->streams[UP], CROWD_MIN))
		return false;
	for (int i = 0; i < 2; i++) {
		if (sp->streams[i].large_lead && sp->streams[i].choice != CHOICE_SMALL)
			return false;
		small |= sp->streams[i].small;
	}
	for (int i = 0; small && i < 2; i++) {
		struct stream *s = &sp->streams[i];

		if (s->choice == CHOICE_KERNEL && s->small)
			choice_begin(s, CHOICE_SMALL);
		s->why_copy = COPY_SMALL;
	}
	return small;
}

/* ---- both ------------------------------------------------------------------------------- */

void choice_begin(struct stream *s, enum choice why)
{
	s->choice = why;
	s->chosen_at = stream_now(s);
	s->chosen_from = s->copied;
	if (why != CHOICE_SMALL)
		return;
	stat_inc(&s->splice->by->stats->copy_reasons[COPY_SMALL]);
	s->large_lead = 0;
	if (s->lead_needed && now_ms(s) - s->back_ms < SOON_MS)
		s->lead_needed = (uint16_t)MIN(s->lead_needed * 2, LEAD_MAX);
	else
		s->lead_needed = LEAD_MIN;
	s->read_ms = now_ms(s);
	if (is_restless(s))
		s->lead_needed = 1;
}

void choice_end(struct stream *s)
{
	if (s->choice == CHOICE_SMALL)
		s->back_ms = now_ms(s);
	s->choice = CHOICE_KERNEL;
}

void choice_moved(struct stream *s, bool idle, bool blocked)
{
	if (blocked)
		s->small = false;
	if (s->choice == CHOICE_LONE ? idle || !stays_lone(s) : blocked)
		choice_end(s);
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "byhand.h"

#include <errno.h>

#include "../memory.h"
#include "../stats.h"
#include "maps.h"
#include "take-back.h"
#include "wait.h"

/* How much is copied before the kernel has another try: it may be the better by then. */
#define BY_HAND_MAX (UINT64_C(256) << 20)
/* A source that had nothing for so long has ended its bulk. */
#define BULK_GAP_NS (50 * NSEC_PER_MSEC)

enum copy_reason kernel_reason(int err)
{
	switch (err) {
	case -E2BIG:
	case -ENOSPC:
	case -ENOMEM:
		return COPY_MAP_FULL;
	case -EOPNOTSUPP:
		return COPY_HALF_CLOSED;
	case -ENOLCK:
		return COPY_UNLOCKED;
	default:
		return COPY_REFUSED;
	}
}

bool splicer_is_short(const struct splicer *by)
{
	return by->memory && memory_level(by->memory) >= MEMORY_COPY;
}

enum copy_reason splicer_refuses(const struct splicer *by)
{
	if (maps_unheard(by->maps))
		return COPY_UNLOCKED;
	if (splicer_is_short(by))
		return COPY_MEMORY;
	return COPY_NONE;
}

void kernel_give_up(struct stream *s, enum copy_reason why)
{
	s->why_copy = why;
	/* A half-closed stream is a case only if it then moves bytes: that is known at the end. */
	s->released_at = s->copied;
	if (why != COPY_HALF_CLOSED)
		stat_inc(&s->splice->by->stats->copy_reasons[why]);
}

void kernel_to_copy(struct stream *s)
{
	stream_unwait(s);
	stream_enter(s, STREAM_COPY);
	s->source->readable = true;
	s->target->writable = true;
	stream_watch(s);
	stream_again(s);
}

void kernel_abandon(struct stream *s)
{
	if (s->state == STREAM_ENDING || s->state == STREAM_DONE)
		return; /* all of it is accounted for */
	/* What was handed up is read in the map, and nothing is as long as more is in the queue. */
	if (s->state == STREAM_SERVING)
		kernel_kick(s);
	if (stream_in_kernel(s))
		kernel_to_copy(s);
	s->why_copy = COPY_HALF_CLOSED;
}

static bool is_bulk(const struct stream *s)
{
	return s->by_hand && s->by_hand == s->bulk.since;
}

bool stream_is_bulk_still(struct stream *s)
{
	uint64_t before = s->bulk.moved_ns;

	s->bulk.moved_ns = stream_now(s);
	return is_bulk(s) && stream_now(s) - before < BULK_GAP_NS;
}

bool stream_stays_by_hand(const struct stream *s)
{
	return s->by_hand && (is_bulk(s) || s->splice->by->company_ns <= s->by_hand) &&
	       s->copied - s->hand_from < BY_HAND_MAX;
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "bulk.h"

#include <errno.h>

#include "../tcpstate.h"
#include "../util.h"
#include "byhand.h"
#include "serve.h"
#include "take-back.h"

/* Bytes of a segment: those of as many, or more, are cheaper in the kernel. Measured with eight
 * streams over loopback: writes of 8000 bytes twice as fast copied, of 32000 slower. */
#define SMALL 12288
/* So many a second at least: below, who moves them is asleep in between, and it does not matter. */
#define SEGMENT_MOST_NS (250 * NSEC_PER_USEC)
/* What comes back may be so much of it: requests and their answers are cheaper in the kernel. */
#define BACK_SHARE 16
/* Looks in a row that must have found that. */
#define LOOKS 2

/* What came of a stream: segments; and messages that an application has sent directly. */
static uint32_t segments_of(const struct stream *s)
{
	if (s->lane)
		return __atomic_load_n(&s->lane->segments, __ATOMIC_RELAXED);
	return tcp_segments(s->source->fd) +
	       (s->way ? (uint32_t)__atomic_load_n(&s->way->direct_messages, __ATOMIC_RELAXED) : 0);
}

static struct stream_bulk seen_now(const struct stream *s)
{
	const struct stream *back = stream_opposite(s);

	return (struct stream_bulk){
	    .ns = stream_now(s),
	    .bytes = stream_redirected(s),
	    .segments = segments_of(s),
	    .back_bytes = stream_moved(back),
	    .back_segments = segments_of(back),
	};
}

/* Whether what came between the two is such. */
static bool is_bulk(const struct stream_bulk *before, const struct stream_bulk *now)
{
	uint32_t segments = now->segments - before->segments;
	uint64_t bytes = now->bytes - before->bytes;

	return bytes < (uint64_t)segments * SMALL &&
	       now->ns - before->ns < segments * SEGMENT_MOST_NS &&
	       now->back_bytes - before->back_bytes < bytes / BACK_SHARE &&
	       now->back_segments - before->back_segments < segments / BACK_SHARE;
}

/* Whether it has been for long enough. */
static bool is_found(struct stream *s)
{
	struct stream_bulk *b = &s->bulk, now = seen_now(s);

	if (now.segments - b->segments < LANE_MANY)
		return false;
	now.looks = b->looks;
	/* What was seen before it was copied is no measure of time. */
	if (b->ns)
		now.looks = is_bulk(b, &now) ? MIN(b->looks + 1, LOOKS) : 0;
	*b = now;
	return b->looks >= LOOKS;
}

void bulk_look(struct stream *s)
{
	int err;

	if (s->source->fin_seen || !is_found(s))
		return;
	err = kernel_take_back_safely(s);
	switch (err) {
	case 0:
		s->by_hand = s->bulk.since = stream_now(s);
		s->hand_from = s->copied;
		s->bulk.moved_ns = stream_now(s);
		s->bulk.ns = 0;
		s->bulk.looks = LOOKS - 1;
		kernel_to_copy(s);
		return;
	case -EBUSY:
		kernel_kick(s);
		return;
	case -EAGAIN:
		kernel_start_serving(s);
		return;
	default:
		kernel_taken_badly(s, err);
	}
}

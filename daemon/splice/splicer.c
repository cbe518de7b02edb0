// SPDX-License-Identifier: GPL-2.0-or-later
#include "splicer.h"

#include <bpf/libbpf.h>
#include <errno.h>

#include "../bypass/look.h"
#include "../log.h"
#include "../stats.h"
#include "lane.h"
#include "maps.h"
#include "splice.h"

/* A lane's event. */
static void lane_event(struct stream *s, const struct lane_event *event)
{
	if (!s->lane)
		return; /* of a budget that is closed */
	if (event->kind == LANE_EVENT_GAP) {
		log_session(LOG_LVL_ERROR, s->splice->id,
			    ": bytes are missing before sequence number %u", s->lane->next_seq);
		stream_corrupt(s);
		return;
	}
	/* PAUSED and SERVING have their own wake-ups; a pause they no longer need is forgotten. */
	if (event->kind == LANE_EVENT_PAUSE && s->state != STREAM_ENGAGED)
		__atomic_store_n(&s->lane->pause_seen, s->lane->pause_wanted, __ATOMIC_RELEASE);
	stream_pump(s);
}

static int on_lane_event(void *arg, void *data, size_t size)
{
	const struct lane_event *e = data;
	struct splicer *by = arg;
	struct splice *sp;

	/* Of generation 0: posted while the lane was being closed, whoever has the slot by now. */
	if (size != sizeof(*e) || e->lane >= by->maps->n_lanes || !e->generation)
		return 0;
	/* The slot may have a new splice by now, perhaps another worker's. */
	if (!lane_event_is_due(&by->maps->lanes[e->lane], e, by->index))
		return 0;
	sp = by->maps->owners[e->lane / 2];
	if (sp && sp->generation == e->generation && !sp->ended)
		lane_event(&sp->streams[e->lane % 2], e);
	return 0;
}

/* An event that found its ring full left a trace in a counter: then every lane is looked at. */
static void look_at_all(struct splicer *by)
{
	uint64_t lost = maps_verdicts(by->maps, VERDICT_EVENT_LOST);
	struct splice *sp;

	if (lost == by->lost_seen)
		return;
	stat_add(&by->stats->events_lost, lost - by->lost_seen);
	by->lost_seen = lost;
	TAILQ_FOREACH (sp, &by->adopted, link)
		for (int d = UP; d <= DOWN; d++)
			if (stream_in_kernel(&sp->streams[d]))
				stream_again(&sp->streams[d]);
}

void splicer_events(struct splicer *by)
{
	/* What an event is about is found out anew by whoever looks: an error leaves it there. */
	(void)ring_buffer__consume(by->ring);
	look_at_all(by);
}

int splicer_init(struct splicer *by, struct loop *loop, const struct maps *maps, unsigned int index,
		 struct stats *stats, const struct memory *memory)
{
	*by = (struct splicer){
	    .loop = loop, .maps = maps, .index = index, .stats = stats, .memory = memory};
	bypass_looks_init(by);
	TAILQ_INIT(&by->adopted);
	TAILQ_INIT(&by->awaiting);
	if (!maps)
		return 0;
	by->ring = ring_buffer__new(maps->rings[index], on_lane_event, by, NULL);
	return by->ring ? loop_add(loop, maps->rings[index]) : -errno;
}

void splicer_fini(struct splicer *by)
{
	ring_buffer__free(by->ring);
	by->ring = NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A direction of a bypassed session, as the daemon keeps it; `struct way` (bypass-api.h) is the
 * part that is shared with the kernel.
 *
 *   MEETING     copied over TCP, until a moment comes at which both applications can be joined
 *   CARRYING    the source's TCP carries data still: the daemon puts it into the target's queue
 *   DIRECT      the source sends into the target's queue; the daemon sleeps
 *   HELD        the target's queue is full, and the source waits: tokens fill its TCP
 *   LEAVING     the source's TCP carries data again; what is in the target's queue goes first
 *   DELIVERING  the source has ended; what is in the target's queue goes first
 *   OVER        an ordinary stream again, or one that has ended
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "../timer.h"
#include "bypass-api.h"

struct stream;

enum bypass_state {
	BYPASS_MEETING,
	BYPASS_CARRYING,
	BYPASS_DIRECT,
	BYPASS_HELD,
	BYPASS_LEAVING,
	BYPASS_DELIVERING,
	BYPASS_OVER,
	_BYPASS_STATE_MAX,
};
extern const char *const bypass_state_str[_BYPASS_STATE_MAX];
extern const char *const way_why_str[_WAY_WHY_MAX];

struct bypass_stream {
	struct stream *stream;
	struct way *way;
	uint64_t app;       /* cookie of the source application's socket */
	uint32_t index;     /* of the way */
	uint32_t dropped;   /* tokens that were thrown away (mod 2^32) */
	uint32_t holds;     /* how often the source had been stopped when it was let go on last */
	uint32_t seen;      /* outlet: the same when that was looked at last */
	uint32_t injected;  /* messages put into the target's queue since it was last seen empty */
	int32_t queued;     /* what was in it at the last look */
	uint64_t read;      /* what the target had read of the stream by then */
	uint64_t backoff;   /* ns */
	uint64_t patience;  /* ... of a patient wait */
	struct timer timer; /* waiting: when it is looked at again */
	bool waiting;
	bool patient; /* ... for what may never come: it is pumped meanwhile */
	bool fresh;   /* the look that it waited for has just been taken */
	bool is_due;  /* it is on its splicer's list */
	bool over;    /* the target's queue was too full at the last step */
	bool small;   /* the source's receive buffer holds one token */
	bool taken;   /* LEAVING: the program has not left it: see giveup.h */
	enum bypass_state state : 4;
	enum way_why why; /* it was left; WAY_NOT_LEFT: it was not */
	TAILQ_ENTRY(bypass_stream) link;
};

/* The only place it changes state. */
void bypass_enter(struct bypass_stream *b, enum bypass_state next);
/* The program is to leave the way with the source's next send, which it sees when no program was
 * inside afterwards; or the daemon does: see giveup.h. */
void bypass_ask_to_leave(const struct bypass_stream *b, enum way_why why);
/* Everything of it but `inside`, which is the programs' alone. */
void bypass_way_set(struct way *way, const struct way *to);
/* Whether `next` may follow `from`: the table, for tests. */
bool bypass_may_enter(enum bypass_state from, enum bypass_state next);

/* Memory of what the target has not read, as it was seen last; 0 where it never will. What an
 * outlet has not sent. */
static inline int32_t bypass_queued(const struct bypass_stream *b)
{
	return b->way->there && !b->way->deaf ? b->way->queued : 0;
}
/* Of an application: an outlet's TCP keeps what it has, and its order. */
static inline int32_t bypass_unread(const struct bypass_stream *b)
{
	return b->way->outlet ? 0 : bypass_queued(b);
}

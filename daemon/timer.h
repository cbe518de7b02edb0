/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Timers, ordered by time: a pairing heap whose nodes are part of what they time. Setting one
 * allocates nothing and so cannot fail, and nobody is looked at before his time. Not thread-safe:
 * a heap belongs to one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer;
typedef void (*timer_fn)(struct timer *t);

struct timer {
	uint64_t at;   /* monotonic ns; valid while it is set */
	timer_fn fire; /* called when it is due; it is not set any more by then, and may be again */
	struct timer *child, *next;
	struct timer *prev; /* the sibling before it, or the parent of the first one; the heap's
			       root itself; NULL: it is in none */
};

/*
 * How many nanoseconds more are owed to whoever was waited for until `at`, by a thread that sees
 * only now that it is over: it did not run meanwhile, so what it has begun may have come to him a
 * moment ago. As long as it is late, a second at most: that is a few round trips. 0: it is in time,
 * as far as a busy host is. To be granted once, or a thread that is always late waits for ever.
 */
uint64_t timer_owes(uint64_t at, uint64_t now);

struct timers {
	struct timer *first; /* the one due next; NULL: none is set */
	size_t n;            /* that are set */
};

/* O(1), and O(log n) amortised for one that is set already. All zero is an empty heap, and a timer
 * with `fire` alone is one that is not set. */
void timer_set(struct timers *all, struct timer *t, uint64_t at);
static inline bool timer_is_set(const struct timer *t)
{
	return t->prev;
}
/* Nothing where it is not set. Amortised O(log n). */
void timer_cancel(struct timers *all, struct timer *t);
/*
 * Calls those that are due at `now`, earliest first, each with itself no longer set. A call may set
 * and cancel any; no more are called than were set at the beginning, so one that sets itself
 * anew for at once stops nobody. How many were called.
 */
size_t timers_fire(struct timers *all, uint64_t now);

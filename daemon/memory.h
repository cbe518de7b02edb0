/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sum of what sessions hold for receivers that are slow or have stopped: in their sockets'
 * queues, on the way between them, and in the daemon. TCP bounds each socket, and nothing the sum;
 * where that nears `memory_max` the sessions get smaller buffers and marks, then new ones are
 * copied, and at last new clients are refused.
 *
 * Here is the bound itself: what is held, how near that is, and what is left for one socket.
 * memorywatch.h measures the sessions, buffers.h gives their sockets what there is for them.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct config;

/* Each goes on from the one before. */
enum memory_level {
	MEMORY_PLENTY,
	MEMORY_SMALLER, /* smaller windows, buffers and marks */
	MEMORY_COPY,    /* nothing more is given to the kernel engine */
	MEMORY_REFUSE,  /* new clients are refused */
	_MEMORY_LEVEL_MAX,
};

/* From so much of memory_max on that all TCP of the host needs, the sessions are measured. */
#define MEMORY_WATCH_PERCENT 12

struct memory {
	uint64_t max;                   /* bytes */
	atomic_uint_fast64_t used;      /* what was measured, of all workers */
	uint64_t least, most;           /* bytes of one socket's buffer, when shared */
	uint64_t window;                /* splice_window: what a source is promised at first */
	atomic_uint holders;            /* sessions that hold more than a little */
	atomic_uint movers;             /* those whose peers take it */
	atomic_int level;               /* enum memory_level */
	atomic_uint_fast64_t scarce_ns; /* when there last was more than the first mark */
	atomic_uint_fast64_t told_ns[_MEMORY_LEVEL_MAX + 1]; /* the last: that refusing has ended */
	int fd; /* /proc/net/sockstat; -1: it cannot be read */
};

/* What one session has of it; all zero at its beginning. */
struct memory_part {
	uint64_t held;       /* bytes, when last measured */
	uint64_t pace_ns;    /* when it was last seen what its peers have taken */
	uint64_t pace_taken; /* ... and how much that was */
	bool moving;         /* they take what it holds */
	bool moved_before;   /* they took some in the last measured time */
};

/* Opens what is read; `auto` is what TCP may hold without pressure, by tcp_mem. It cannot fail:
 * without sockstat the sessions are measured always. */
void memory_init(struct memory *m, const struct config *c);
void memory_fini(struct memory *m);
/* Bytes that TCP holds on this host, whoever's; UINT64_MAX: it is not known. */
uint64_t memory_of_tcp(const struct memory *m);
/* Bytes of that from which on sessions are measured. */
uint64_t memory_watch_mark(const struct memory *m);
/* Bytes that one session may come to hold before it is measured. */
uint64_t memory_promise(const struct memory *m);

enum memory_level memory_level(const struct memory *m);
/* Whether new clients are refused. */
bool memory_refuses(const struct memory *m);
/* The level that what is held now means; tells of a change. */
void memory_judge(struct memory *m, uint64_t now);
/* How long memory takes, at the fastest, until the next level that asks for something of those who
 * are there already; nanoseconds. */
uint64_t memory_time_left(const struct memory *m);
/* The same from `used` to `mark`. */
uint64_t memory_time_to(uint64_t used, uint64_t mark);

/* The session was measured: it holds so many bytes. */
void memory_hold(struct memory *m, struct memory_part *part, uint64_t held);
/* Its peers have taken so many bytes since whenever. */
void memory_pace(struct memory *m, struct memory_part *part, uint64_t now, uint64_t taken);
/* Its part is not held any more. */
void memory_forget(struct memory *m, struct memory_part *part);

/*
 * What one socket's buffer may be now; 0: as usual. All that is left, over those who hold something
 * and some more, in powers of two so that it does not change all the time. Those that move share it
 * among themselves alone: the others have what they have, and need no more.
 */
uint64_t memory_share(const struct memory *m, bool moving);
/* Whether not to wait for what peers were promised already, where there are so many sessions: TCP
 * drops what does not fit, and its sender repeats it. */
bool memory_is_hard(const struct memory *m, uint64_t sessions, bool moving);

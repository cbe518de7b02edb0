/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A home of sessions: what those of one thread work with, where they are listed, and what of the
 * daemon they need to know. A worker has one; whoever makes it fills it in and keeps what it points
 * to until the last session is freed.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

struct dialer;
struct http_field;
struct idle;
struct loop;
struct memory;
struct session;
struct setup;
struct slots;
struct sniff_state;
struct splice_settings;
struct splicer;
struct stats;
struct walk;

/* Room for a head that is being written; one of head_max bytes fits with what is added to it. */
#define HOME_SCRATCH (160 * 1024)
#define HOME_FIELDS  1024 /* the most that fields_max may be */

/* How far the end of a home is: it goes on, and never back. */
enum drain {
	DRAIN_NONE,
	DRAIN_SOON, /* told to end: HTTP's responses are the last on their connections, and all else
		       goes on */
	DRAIN_RELIEVED, /* no new sessions: they are another process's */
	DRAIN_LAST,     /* no new sessions, and whoever waits for the end should not wait long */
};

TAILQ_HEAD(session_list, session);
TAILQ_HEAD(sniff_list, sniff_state);

struct home {
	/* The thread's. */
	struct loop *loop;
	struct splicer *splicer;
	struct dialer *dialer;
	struct idle *idle;   /* kept connections to servers */
	struct stats *stats; /* its counters; those of each listener and server are theirs: */
	unsigned int index;  /* which part of them is this thread's */
	struct setup *setup; /* the newest that it has */
	char *scratch;       /* HOME_SCRATCH bytes, empty between turns: heads to be written */
	struct http_field *fields; /* HOME_FIELDS: of the head that is being looked at */
	struct session_list live;
	LIST_HEAD(, walk) walks;    /* through `live`: see walk.h */
	struct session_list ended;  /* to be closed and freed at the end of the turn */
	struct sniff_list sniffing; /* those that have not said enough, the oldest first */
	uint32_t n_sniffing;
	uint32_t sniffing_max; /* beyond that many the oldest goes */
	enum drain drain;      /* from DRAIN_RELIEVED on each is to end as soon as it may */
	time_t date_at;        /* the second that `date` tells */
	char date[32];         /* for heads: see http_date() */
	atomic_uint n;         /* live ones; other threads may look */
	uint32_t *told_n;      /* where a program looks; NULL: none does */
	/* Shared with other threads. */
	const struct splice_settings *settings; /* of new sessions */
	struct memory *memory;
	struct slots *slots;
	atomic_uint_fast64_t *last_id;
	const atomic_bool *access_log, *log_empty;
	uint64_t instance; /* random: makes ids of this run unlike those of another */
};

/* There is one more, or one less. In the thread. */
static inline void home_count(struct home *h, unsigned int more)
{
	unsigned int n = atomic_fetch_add(&h->n, more) + more;

	if (h->told_n)
		__atomic_store_n(h->told_n, n, __ATOMIC_RELAXED);
}

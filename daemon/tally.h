/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tally brings the counters up to date with what sessions that live have moved, for who reports
 * them. Each worker goes through its own, some in a turn, so that no session waits for it; a worker
 * that does not answer in time is known by that. There is one tally at a time, whoever asks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "mailbox.h"
#include "walk.h"

struct daemon;
struct event;
struct event_base;
struct worker;

/* Who waits for one: the memory is theirs until `done` is called. */
struct tally_wait {
	/* In the main thread. `complete`: all workers are up to date; else one has not answered for
	 * TALLY_PATIENCE_NS, or the daemon ends. */
	void (*done)(struct tally_wait *w, bool complete);
	TAILQ_ENTRY(tally_wait) link;
};

TAILQ_HEAD(tally_waiting, tally_wait);

#define TALLY_PATIENCE_NS (2 * NSEC_PER_SEC)

/* The main thread's part. */
struct tally {
	struct daemon *daemon;
	struct mailbox *mail; /* of the main thread; its letters' owner is not used */
	struct event *timeout;
	bool timed;             /* it is set */
	unsigned int remaining; /* workers that have not answered; 0: none is under way */
	struct tally_waiting waiting;
};

/* A worker's part. */
struct tally_round {
	struct walk walk;
	struct letter begin, over; /* to the worker, and back */
	bool busy;                 /* main thread: it has not answered */
};

/* `mail` is that of `base`'s thread. 0 or -ENOMEM; tally_fini() is right in either case. */
int tally_init(struct tally *t, struct daemon *d, struct event_base *base, struct mailbox *mail);
/* Who still waits is told that it is not complete. Allowed on a zeroed one. It must stay where it
 * is until the workers have ended. */
void tally_fini(struct tally *t);
/* Main thread only. w->done is called later, never from within. */
void tally_ask(struct tally *t, struct tally_wait *w);
/* Whether a worker has answered the last one, or no answer is awaited. */
bool tally_answered(const struct worker *w);

/* Before the worker's thread starts. */
void tally_round_init(struct worker *w);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who watches over memory_max. Nothing of it is done for each byte, and nothing at all while there
 * are too few sessions to hold much. With more of them the main thread reads one number, what all
 * TCP of the host needs, as often as that could grow to a mark; above it every worker measures its
 * sessions in turn, and gives them what there is. A worker whose sessions only move bytes in the
 * kernel sleeps until then, however fast they do.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mailbox.h"
#include "timer.h"

struct daemon;
struct event;
struct event_base;
struct worker;

/* The main thread's part. */
struct memory_watch {
	struct daemon *daemon;
	struct event *tick;
	struct mailbox
	    *mail; /* NULL: there is no such thread, as in the canary: nothing is measured */
	struct letter more; /* from a worker: there are sessions enough */
	atomic_bool awake;
	uint64_t seen;    /* bytes that all TCP held at the last tick */
	uint64_t rest_ns; /* how long until the next one, while that stays the same */
};

/* A worker's part. */
struct memory_round {
	struct timer timer;
	struct letter begin; /* to the worker */
	uint32_t rest;       /* sessions still to be measured in this round */
	uint64_t asked_ns;   /* when it was last seen to it that there are ticks */
	bool enough;         /* there were sessions enough then */
	uint64_t looked_ns;  /* when some last were */
	uint64_t total;      /* bytes that all TCP held then */
};

/* Before the workers' threads start. `mail` is that of `base`'s thread. 0, or a negative errno
 * after logging. */
int memory_watch_init(struct memory_watch *m, struct daemon *d, struct event_base *base,
		      struct mailbox *mail);
/* After they have ended. Allowed on a zeroed one. */
void memory_watch_fini(struct memory_watch *m);

/* Before the worker's thread starts. Worker's thread only, as what follows. */
void memory_round_init(struct worker *w);
/* At the end of each of its turns: something may have moved. */
void memory_turn(struct worker *w);
/* Within one that lasts: what its sessions hold can grow by a lot in it. */
void memory_turn_lasts(struct worker *w);

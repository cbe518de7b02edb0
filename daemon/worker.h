/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker: a thread with an event base, its own listening sockets and its own sessions. The base
 * (libevent) drives the listeners, the mailbox and the loop that its sessions stand on.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "home.h"
#include "lingering.h"
#include "loop.h"
#include "mailbox.h"
#include "memorywatch.h"
#include "sessionend.h"
#include "splice/stream.h"
#include "spread-api.h"
#include "stats.h"
#include "tally.h"
#include "timer.h"
#include "upstream/dial.h"
#include "upstream/idle.h"

struct daemon;
struct event;
struct event_base;
struct reload;
struct setup;

struct worker {
	struct daemon *daemon;
	unsigned int index;
	pthread_t thread;
	bool started;
	struct event_base *base;
	struct loop loop;
	struct splicer splicer;
	struct home home; /* its sessions */
	int reserve_fd;   /* given up for a dial when descriptors run out */
	struct memory_round memory_round;
	struct tally_round tally;
	struct walk renewal;     /* of sessions: see struct protocol */
	struct timer reap_timer; /* another try to free what has ended */
	struct timer trim_timer; /* a while without sessions */
	bool untrimmed;          /* sessions were freed since memory was given back */
	struct idle idle;        /* kept connections to servers */
	struct dialer dialer;
	struct lingering lingering;        /* listening sockets that it will close */
	struct reload *reloading;          /* that waits for their end */
	struct spread_worker *load;        /* what the others, and a program, know of it */
	struct spread_worker own_load;     /* it, where there is no program */
	unsigned int turn;                 /* which worker to look at next */
	void (*drained)(struct worker *w); /* called once, when draining and empty */
	struct mailbox mail;               /* its letters' owner is the worker */
	struct {
		struct letter serve, soon, drain, last, end, stop,
		    check_kept;                 /* to the worker, from the main thread */
		struct letter setup, adopted;   /* to the worker, and back: see reload.h */
		struct letter give_up;          /* to the worker, from another one */
		struct letter drained, retired; /* from the worker */
		struct letter beat, beaten;     /* to the worker, and back: see obey.c */
	} letters;
	struct stats stats; /* those of listeners and servers are theirs */
};

/* Sets everything up but the thread. 0 or a negative errno after logging. */
int worker_init(struct worker *w, struct daemon *d, unsigned int index);
int worker_run_thread(struct worker *w); /* 0 or a negative errno */
/* Ends the loop and waits for the thread; sessions that are still there end in worker_fini(). */
void worker_stop(struct worker *w);
void worker_fini(struct worker *w);

/* Begins accepting. Worker's thread only. */
void worker_serve(struct worker *w);
/*
 * Takes the end so far; one that it has come to already is nothing new. From DRAIN_RELIEVED on it
 * accepts nothing, and w->drained is called when the last session has ended. Worker's thread only.
 */
void worker_drain(struct worker *w, enum drain drain);
/* Ends the session of that number, if it has it. Worker's thread only. */
bool worker_kill(struct worker *w, uint64_t id);
/* Ends all sessions with `end`. Worker's thread only. */
void worker_end_all(struct worker *w, enum session_end end);

/* It goes by this setup from now on, and takes the reference; sessions that it has go on under
 * theirs, but for those that struct protocol has a `renew` of. Worker's thread only, or before it
 * runs. */
void worker_adopt(struct worker *w, struct setup *s);
/* Closes kept connections that are useless by now, see server_keeps(): those of sessions in the
 * turns that follow. Worker's thread only. */
void worker_check_kept(struct worker *w);
/* Has all workers do so. Main thread only. */
void workers_check_kept(struct daemon *d);
/* This worker is out of descriptors, and keeps no connection: each other one closes one that it
 * keeps. Worker's thread only; what that brings is there at a later try. */
void worker_asks_for_kept(struct worker *w);
/* Outside of a turn: closes the sessions that have ended, for their descriptors are needed. */
void worker_close_ended(struct worker *w);

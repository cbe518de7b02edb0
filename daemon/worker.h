/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker: a thread with an event base, its own listening sockets and its own sessions. The base
 * (libevent) drives the listeners, the mailbox and the loop that its sessions stand on.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "loop.h"
#include "mailbox.h"
#include "memorywatch.h"
#include "session.h"
#include "sniff/state.h"
#include "stats.h"
#include "timer.h"
#include "upstream/dial.h"
#include "upstream/idle.h"

struct daemon;
struct event;
struct event_base;
struct http_field;

#define WORKER_FIELDS 1024 /* the most that fields_max may be */

struct worker {
	struct daemon *daemon;
	unsigned int index;
	pthread_t thread;
	bool started;
	struct event_base *base;
	struct loop loop;
	struct splicer splicer;
	int reserve_fd; /* given up for a dial when descriptors run out */
	struct memory_round memory_round;
	struct timer reap_timer; /* another try to free what has ended */
	char *scratch;           /* HTTP_SCRATCH bytes, empty between turns: heads to be written */
	struct http_field *fields; /* WORKER_FIELDS: of the head that is being looked at */
	struct session_list sessions;
	struct session_list ended;  /* closed and freed at the end of the turn */
	struct sniff_list sniffing; /* those that have not said enough, the oldest first */
	struct idle idle;           /* kept connections to servers */
	struct dialer dialer;
	time_t date_at; /* the second that `date` tells */
	char date[32];  /* for heads: see http_date() */
	uint32_t n_sniffing;
	atomic_uint n_sessions; /* read by others, to spread sessions: see balance.c */
	atomic_uint incoming;   /* sessions that are on their way here from another worker */
	unsigned int turn;      /* which worker to look at next */
	bool draining;
	void (*drained)(struct worker *w); /* called once, when draining and empty */
	struct mailbox mail;               /* its letters' owner is the worker */
	struct {
		struct letter drain, end, stop, moved; /* to the worker, from the main thread */
		struct letter drained;                 /* from the worker */
	} letters;
	struct stats stats;
};

/* Sets everything up but the thread. 0 or a negative errno after logging. */
int worker_init(struct worker *w, struct daemon *d, unsigned int index);
int worker_run_thread(struct worker *w); /* 0 or a negative errno */
/* Ends the loop and waits for the thread; sessions that are still there end in worker_fini(). */
void worker_stop(struct worker *w);
void worker_fini(struct worker *w);

/* Stops accepting; w->drained is called when the last session has ended. Worker's thread only. */
void worker_drain(struct worker *w);
/* Ends all sessions with `end`. Worker's thread only. */
void worker_end_all(struct worker *w, enum session_end end);

/* Closes kept connections whose server has lost the address that they go to. Worker's thread only.
 */
void worker_check_kept(struct worker *w);
/* A session's place on the lists. */
void worker_session_ended(struct worker *w, struct session *s);
/* Outside of a turn: closes the sessions that have ended, for their descriptors are needed. */
void worker_close_ended(struct worker *w);

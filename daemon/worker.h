/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker: a thread with an event base, its own listening sockets and its own sessions.
 *
 * The base (libevent) drives the listeners, timers and the mailbox. The sockets of sessions are in
 * an epoll instance of the worker's own, which the base watches as one descriptor: they need
 * EPOLLRDHUP without EPOLLIN and exact edges (a session that only moves bytes in the kernel must
 * wake nobody), and libevent reports an error on such a descriptor to nobody.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "mailbox.h"
#include "session.h"
#include "stats.h"
#include "timer.h"

struct daemon;
struct event;
struct event_base;
struct http_field;
struct idle_list;
struct maps;
struct ring_buffer;

#define WORKER_FIELDS 1024 /* the most that fields_max may be */

struct worker {
	struct daemon *daemon;
	const struct maps *maps; /* NULL: no kernel engine */
	unsigned int index;
	pthread_t thread;
	bool started;
	struct event_base *base;
	struct event *poll_event;
	struct ring_buffer *ring;
	int poll_fd, timer_fd, ring_fd;
	int reserve_fd;            /* given up for a dial when descriptors run out */
	uint64_t timer_at;         /* what timer_fd is set to; 0: off */
	struct timers timers;      /* of sessions, streams and connections, and the next one */
	struct timer reap_timer;   /* another try to free what has ended */
	struct timer adopt_timer;  /* when the first of `awaiting` is old enough */
	uint64_t now;              /* monotonic ns of this turn */
	char *buffer;              /* COPY_BUFFER bytes, empty between turns */
	char *scratch;             /* HTTP_SCRATCH bytes: heads that are being written; the same */
	struct http_field *fields; /* WORKER_FIELDS: of the head that is being looked at */
	struct session_list sessions, awaiting;
	struct session_list ended;    /* freed at the end of the turn */
	struct session_list sniffing; /* the one that has waited longest first */
	struct conn_list gone;        /* closed connections, freed at the end of the turn */
	struct idle_list *idle;       /* of each server */
	struct conn_list idle_by_age;
	struct event *idle_sweep;
	time_t date_at; /* the second that `date` tells */
	char date[32];  /* for heads: see http_date() */
	uint32_t n_sniffing;
	struct stream_list again;
	uint32_t n_again;
	atomic_uint n_sessions; /* read by others, to spread sessions: see balance.c */
	atomic_uint incoming;   /* sessions that are on their way here from another worker */
	unsigned int turn;      /* which worker to look at next */
	const struct stream *last_paused; /* to tell them apart, never followed */
	uint64_t company_ns;              /* when two streams were last paused by turns */
	uint64_t lost_seen; /* the event_lost counter when all lanes were last looked at */
	bool draining;
	bool in_turn; /* on_poll() runs, and will look at `again` before it is over */
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

/* epoll for a session's socket; 0 or a negative errno. */
int worker_watch(struct worker *w, struct conn *c, uint32_t events);
/* Has epoll look at a watched socket anew: what it is ready for is told once more. 0 or a negative
 * errno. */
int worker_ask(struct worker *w, struct conn *c);
/* A session's place on the lists. */
void worker_adopt_later(struct worker *w, struct session *s);
void worker_adopt_now(struct worker *w, struct session *s);
void worker_session_ended(struct worker *w, struct session *s);
/* A closed connection that no session has: freed when no event can mean it any more. */
void worker_conn_gone(struct worker *w, struct conn *c);
/* Has the loop look once more for what has ended. */
void worker_look(struct worker *w);
/* Calls t->fire in this worker's turn at `at` (monotonic ns) or soon after, instead of when it was
 * set to. It cannot fail. */
void worker_timer_set(struct worker *w, struct timer *t, uint64_t at);
void worker_timer_cancel(struct worker *w, struct timer *t);

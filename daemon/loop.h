/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A loop: what a worker's turn is for everything below the worker. It has the time, timers, the
 * sockets that are watched, a buffer to read into, and the work that waits for its next turn.
 *
 * The sockets of sessions are in an epoll instance of the loop's own, which an event base
 * (libevent) watches as one descriptor: they need EPOLLRDHUP without EPOLLIN and exact edges (a
 * session that only moves bytes in the kernel must wake nobody), and libevent reports an error on
 * such a descriptor to nobody.
 *
 * A turn: what epoll reports of sockets; then the descriptor that was added; timers that are due;
 * tasks; and at last what the owner does at the end of each turn, and between two of these every
 * few milliseconds while one lasts that long. One thread has it. Where a turn is late, or too short
 * for all that is ready, timers wait for what was there before them: what a peer did in time
 * counts, however late the thread is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "conn.h"
#include "timer.h"

struct event;
struct event_base;

/* Bytes of a loop's buffer: a processor's second-level cache still holds them. */
#define LOOP_BUFFER (512 * 1024)
/* A wake-up serves all that is due within this time. */
#define LOOP_SLACK_NS (20 * NSEC_PER_USEC)
#define LOOP_LASTS_NS (5 * NSEC_PER_MSEC)

/* Something to be done once, after the others have had their turn: part of what it works for. */
struct task {
	void (*run)(struct task *t); /* it is on no list any more by then, and may be again */
	TAILQ_ENTRY(task) link;      /* tqe_prev is NULL: it is on no list */
};
TAILQ_HEAD(task_list, task);

static inline bool task_is_queued(const struct task *t)
{
	return t->link.tqe_prev;
}

struct loop {
	uint64_t now;         /* monotonic ns of this turn */
	char *buffer;         /* LOOP_BUFFER bytes, empty between turns */
	struct timers timers; /* of everything, and the next one */
	uint64_t timer_at;    /* what timer_fd is set to; 0: off */
	uint64_t due_by;      /* timers up to then are due when all that was ready then has had its
				 turn; 0: none are */
	int poll_fd, timer_fd, added_fd;
	bool in_turn; /* a turn runs, and will look at `again` and the timers before it is over */
	struct task_list again;
	uint32_t n_again;
	struct conn_list refused;   /* by epoll, the one that was first first */
	struct timer refused_timer; /* when it is asked again */
	struct conn_list gone;      /* closed connections, which the owner frees in `over` */
	struct event *poll_event;
	void (*added)(struct loop *l); /* there is something on added_fd */
	void (*over)(struct loop *l);  /* the turn is over but for this */
	void (*lasts)(
	    struct loop *l); /* it has lasted for LOOP_LASTS_NS, and so on; NULL allowed */
	uint64_t lasts_from; /* when it was last said, or the turn began */
	uint32_t n_served;   /* events and tasks, for how often the clock is read */
};

/*
 * Sets it up but for the two functions, which are the caller's to set before the first turn. Its
 * turns are events of `base`. 0 or a negative errno; loop_fini() is right in either case.
 */
int loop_init(struct loop *l, struct event_base *base);
/* What is set and queued is forgotten, and `gone` is the caller's to have emptied. Before `base` is
 * freed. Right for one that is all zero but for its descriptors of -1, too. */
void loop_fini(struct loop *l);
/* Has `added` called in the turns in which there is something to read on fd, which stays the
 * caller's. One at most. 0 or a negative errno. */
int loop_add(struct loop *l, int fd);
/* Has another turn begin, if only for its end. */
void loop_look(struct loop *l);

/*
 * Has epoll report these events of a connection's socket to c->event(). Where it refuses, for want
 * of memory, it is asked again every few milliseconds, and what has happened meanwhile is reported
 * then; after a second c->event() is told CONN_UNWATCHED.
 */
void loop_watch(struct loop *l, struct conn *c, uint32_t events);
/* It is not asked again. Before a socket is closed whose connection may be on the list of those
 * that were refused. */
void loop_unwatch(struct loop *l, struct conn *c);
/* Has epoll look at a watched socket anew: what it is ready for is told once more. 0 or a negative
 * errno. */
int loop_ask(struct loop *l, struct conn *c);
/* A closed connection that nobody has any more: freed when no event can mean it any more. */
void loop_conn_gone(struct loop *l, struct conn *c);

/* Calls t->fire in this loop's turn at `at` (monotonic ns) or soon after, instead of when it was
 * set to. It cannot fail. */
void loop_timer_set(struct loop *l, struct timer *t, uint64_t at);
void loop_timer_cancel(struct loop *l, struct timer *t);

/* Runs a task after what waits already; what a turn's tasks queue waits for the next turn. Nothing
 * where it is queued. */
void loop_again(struct loop *l, struct task *t);
/* Nothing where it is not queued. */
void loop_not_again(struct loop *l, struct task *t);

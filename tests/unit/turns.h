/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A loop whose turns the test runs itself, with a clock of its own: sockets are real and so is
 * epoll, but no time passes unless the test says so.
 */
#pragma once

#include <event2/event.h>
#include <sys/epoll.h>

#include "../../daemon/loop.h"

struct turns {
	struct loop loop;
	struct event_base *base; /* its loop is never run */
};

#define TURNS_EPOCH (UINT64_C(1000) * NSEC_PER_SEC)

static inline void turns_begin(struct turns *t)
{
	t->base = event_base_new();
	assert_non_null(t->base);
	assert_int_equal(loop_init(&t->loop, t->base), 0);
	t->loop.now = TURNS_EPOCH;
	/* Timers need no wake-up. */
	t->loop.in_turn = true;
}

/* Frees what was closed, as a worker does at the end of a turn. How many there were. */
static inline unsigned int turns_reap(struct turns *t)
{
	struct conn *c;
	unsigned int n = 0;

	while ((c = TAILQ_FIRST(&t->loop.gone))) {
		TAILQ_REMOVE(&t->loop.gone, c, link);
		assert_int_equal(c->fd, -1);
		assert_null(c->event);
		conn_free(c);
		n++;
	}
	return n;
}

/* What epoll reports within `ms` of real time is told to whom it concerns. How much that was. */
static inline int turns_poll(struct turns *t, int ms)
{
	struct epoll_event events[16];
	int n = epoll_wait(t->loop.poll_fd, events, 16, ms);

	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		if (events[i].data.ptr != &t->loop.timer_fd && c->event)
			c->event(c, events[i].events);
	}
	return n;
}

/* So much later: what is due by then is done at its time, in its order. */
static inline void turns_pass(struct turns *t, uint64_t ns)
{
	uint64_t until = t->loop.now + ns;
	const struct timer *first;

	while ((first = t->loop.timers.first) && first->at <= until) {
		t->loop.now = MAX(first->at, t->loop.now);
		(void)timers_fire(&t->loop.timers, t->loop.now);
	}
	t->loop.now = until;
}

static inline void turns_end(struct turns *t)
{
	(void)turns_reap(t);
	assert_null(t->loop.timers.first);
	assert_true(TAILQ_EMPTY(&t->loop.refused));
	loop_fini(&t->loop);
	event_base_free(t->base);
}

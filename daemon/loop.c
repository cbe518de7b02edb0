// SPDX-License-Identifier: GPL-2.0-or-later
#include "loop.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "util.h"

#define POLL_BATCH 128
#define SERVED_MAX 4
/* A timer that is found to be due so long after its time: the thread did not run. */
#define LATE_NS (10 * NSEC_PER_MSEC)

/* What epoll refuses is asked for again so often, and so many times. */
#define REFUSED_RETRY_NS (5 * NSEC_PER_MSEC)
#define REFUSED_MAX      200

/* ---- timers ----------------------------------------------------------------------------- */

/* Makes sure that the loop wakes up for the first of the timers. It may wake too soon: one that was
 * cancelled is not worth a system call. */
static void wake_in_time(struct loop *l)
{
	const struct timer *first = l->timers.first;
	struct itimerspec when = {0};

	if (!first || (l->timer_at && l->timer_at <= first->at))
		return;
	l->timer_at = MAX(first->at, UINT64_C(1));
	when.it_value.tv_sec = (time_t)(l->timer_at / NSEC_PER_SEC);
	when.it_value.tv_nsec = (long)(l->timer_at % NSEC_PER_SEC);
	/* It fails for an invalid descriptor or time only, and allocates nothing. */
	(void)timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void loop_timer_set(struct loop *l, struct timer *t, uint64_t at)
{
	timer_set(&l->timers, t, at);
	if (!l->in_turn)
		wake_in_time(l);
}

void loop_timer_cancel(struct loop *l, struct timer *t)
{
	timer_cancel(&l->timers, t);
}

static bool is_late(const struct loop *l)
{
	return l->timers.first && l->now > l->timers.first->at + LATE_NS;
}

/*
 * timer_fd is readable; `more`: so may be sockets that this turn has not heard of. What a timer
 * waits for may be among those, or part of a task that is queued. So it has to wait until all that
 * was there when it was found to be due has had its turn: timer_fd, which stays readable until it
 * is read, is told of again when everything that was ready beside it has been (epoll_wait(2): the
 * set goes round). However much that is, it ends, and however much has come since.
 */
static void on_timer(struct loop *l, bool more)
{
	uint64_t expirations;

	if (!l->due_by) {
		l->due_by = l->now;
		if (more || is_late(l))
			return;
	}
	/* What it says is of no interest, and that it may say nothing neither. */
	(void)!read(l->timer_fd, &expirations, sizeof(expirations));
	l->timer_at = 0;
	(void)timers_fire(&l->timers, l->due_by + LOOP_SLACK_NS);
	l->due_by = 0;
}

/* ---- a turn that lasts -------------------------------------------------------------------- */

/* An event or a task was served; the clock is read after some, each of which can move megabytes. */
static void served(struct loop *l)
{
	uint64_t now;

	if (++l->n_served % SERVED_MAX || !l->lasts)
		return;
	now = now_ns();
	if (now - l->lasts_from < LOOP_LASTS_NS)
		return;
	l->lasts_from = now;
	l->lasts(l);
}

/* ---- tasks ------------------------------------------------------------------------------ */

void loop_look(struct loop *l)
{
	event_active(l->poll_event, EV_READ, 0);
}

void loop_again(struct loop *l, struct task *t)
{
	if (task_is_queued(t))
		return;
	l->n_again++;
	TAILQ_INSERT_TAIL(&l->again, t, link);
	if (!l->in_turn)
		loop_look(l);
}

void loop_not_again(struct loop *l, struct task *t)
{
	if (!task_is_queued(t))
		return;
	l->n_again--;
	TAILQ_REMOVE(&l->again, t, link);
	t->link.tqe_prev = NULL;
}

/* Those that are on the list now; what they put there waits for the next turn. */
static void run_again(struct loop *l)
{
	struct task *t;

	for (uint32_t n = l->n_again; n && (t = TAILQ_FIRST(&l->again)); n--) {
		loop_not_again(l, t);
		t->run(t);
		served(l);
	}
}

/* ---- sockets ---------------------------------------------------------------------------- */

static bool accepts(struct loop *l, struct conn *c)
{
	struct epoll_event e = {.events = c->armed, .data.ptr = c};

	if (epoll_ctl(l->poll_fd, c->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e) < 0)
		return false;
	c->watched = true;
	return true;
}

void loop_watch(struct loop *l, struct conn *c, uint32_t events)
{
	if (c->armed == events)
		return;
	c->armed = events;
	if (accepts(l, c)) {
		loop_unwatch(l, c);
		return;
	}
	if (c->refused)
		return;
	c->refused = 1;
	TAILQ_INSERT_TAIL(&l->refused, c, link);
	if (!timer_is_set(&l->refused_timer))
		loop_timer_set(l, &l->refused_timer, l->now + REFUSED_RETRY_NS);
}

void loop_unwatch(struct loop *l, struct conn *c)
{
	if (c->refused)
		TAILQ_REMOVE(&l->refused, c, link);
	c->refused = 0;
}

/* Asks once more for all of them; those that have been refused for long enough are the first. */
static void on_refused(struct timer *t)
{
	struct loop *l = container_of(t, struct loop, refused_timer);
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&l->refused); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (accepts(l, c))
			loop_unwatch(l, c);
		else
			c->refused++;
	}
	while ((c = TAILQ_FIRST(&l->refused)) && c->refused >= REFUSED_MAX) {
		loop_unwatch(l, c);
		/* As of any other event of a socket that is nobody's. */
		if (c->event)
			c->event(c, CONN_UNWATCHED);
	}
	if (!TAILQ_EMPTY(&l->refused))
		loop_timer_set(l, t, l->now + REFUSED_RETRY_NS);
}

int loop_ask(struct loop *l, struct conn *c)
{
	struct epoll_event e = {.events = c->armed, .data.ptr = c};

	/* It will be told when it is watched. */
	if (c->refused)
		return 0;
	return epoll_ctl(l->poll_fd, EPOLL_CTL_MOD, c->fd, &e) < 0 ? -errno : 0;
}

void loop_conn_gone(struct loop *l, struct conn *c)
{
	loop_unwatch(l, c);
	c->event = NULL;
	c->owner = NULL;
	TAILQ_INSERT_TAIL(&l->gone, c, link);
	loop_look(l);
}

/* ---- turns ------------------------------------------------------------------------------ */

static void on_poll(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct epoll_event events[POLL_BATCH];
	struct loop *l = arg;
	bool timer = false, added = false;
	int n;

	/* Of what is before this time epoll knows. */
	l->now = l->lasts_from = now_ns();
	n = epoll_wait(l->poll_fd, events, POLL_BATCH, 0);
	l->in_turn = true;
	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		if (events[i].data.ptr == &l->timer_fd)
			timer = true;
		else if (events[i].data.ptr == &l->added_fd)
			added = true;
		else if (c->event)
			c->event(c, events[i].events);
		served(l);
	}
	if (added)
		l->added(l);
	if (timer)
		on_timer(l, n == POLL_BATCH);
	run_again(l);
	l->over(l);
	l->in_turn = false;
	wake_in_time(l);
	if (!TAILQ_EMPTY(&l->again))
		loop_look(l);
}

/* ---- set-up ----------------------------------------------------------------------------- */

/* `fd` is a member of `l`: its address says later which one it is. */
static int watch_own(struct loop *l, int *fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = fd};

	return epoll_ctl(l->poll_fd, EPOLL_CTL_ADD, *fd, &e) < 0 ? -errno : 0;
}

int loop_add(struct loop *l, int fd)
{
	l->added_fd = fd;
	return watch_own(l, &l->added_fd);
}

int loop_init(struct loop *l, struct event_base *base)
{
	int err;

	*l = (struct loop){.poll_fd = -1, .timer_fd = -1, .added_fd = -1};
	l->refused_timer.fire = on_refused;
	TAILQ_INIT(&l->again);
	TAILQ_INIT(&l->refused);
	TAILQ_INIT(&l->gone);
	l->now = now_ns();
	l->buffer = malloc(LOOP_BUFFER);
	if (!l->buffer)
		return -ENOMEM;
	l->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (l->poll_fd < 0 || l->timer_fd < 0)
		return -errno;
	err = watch_own(l, &l->timer_fd);
	if (err)
		return err;
	l->poll_event = event_new(base, l->poll_fd, EV_READ | EV_PERSIST, on_poll, l);
	return l->poll_event && event_add(l->poll_event, NULL) == 0 ? 0 : -ENOMEM;
}

void loop_fini(struct loop *l)
{
	if (l->poll_event)
		event_free(l->poll_event);
	l->poll_event = NULL;
	closep_(&l->poll_fd);
	closep_(&l->timer_fd);
	free(l->buffer);
	l->buffer = NULL;
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include "daemon.h"
#include "http/head.h"
#include "http/http.h"
#include "listener.h"
#include "log.h"
#include "splice/copy.h"
#include "splice/kernel.h"
#include "splice/maps.h"
#include "upstream/idle.h"

#define POLL_BATCH 128
/* Callbacks of libevent's before it looks for new events. */
#define TURNS_IN_A_ROW 4
/* A wake-up serves all that is due within this time. */
#define TIMER_SLACK_NS (20 * NSEC_PER_USEC)
#define REAP_AGAIN_NS  (100 * NSEC_PER_MSEC)

/* ---- lists ------------------------------------------------------------------------------ */

void worker_adopt_later(struct worker *w, struct session *s)
{
	s->awaiting = true;
	TAILQ_INSERT_TAIL(&w->awaiting, s, adopt_link);
	if (!w->adopt_timer.set)
		worker_timer_set(w, &w->adopt_timer,
				 s->opened_ns + w->daemon->config->engage_after);
}

void worker_adopt_now(struct worker *w, struct session *s)
{
	if (s->awaiting)
		TAILQ_REMOVE(&w->awaiting, s, adopt_link);
	s->awaiting = false;
	kernel_adopt(w, s);
}

void worker_look(struct worker *w)
{
	event_active(w->poll_event, EV_READ, 0);
}

void worker_session_ended(struct worker *w, struct session *s)
{
	if (s->awaiting)
		TAILQ_REMOVE(&w->awaiting, s, adopt_link);
	s->awaiting = false;
	TAILQ_REMOVE(&w->sessions, s, link);
	TAILQ_INSERT_TAIL(&w->ended, s, link);
	w->n_sessions--;
	worker_look(w);
}

void worker_conn_gone(struct worker *w, struct conn *c)
{
	c->session = NULL;
	TAILQ_INSERT_TAIL(&w->gone, c, link);
	event_active(w->poll_event, EV_READ, 0);
}

/*
 * Frees what has ended. What the kernel's maps will not let go of now is kept and tried again
 * later, so that no entry stays behind; with `all`, when the maps go next, it is freed all the
 * same.
 */
static void reap(struct worker *w, bool all)
{
	struct session *s, *next_s;
	struct conn *c, *next_c;
	bool left = false;

	for (s = TAILQ_FIRST(&w->ended); s; s = next_s) {
		next_s = TAILQ_NEXT(s, link);
		if (w->maps && kernel_forget(w, s) < 0 && !all) {
			left = true;
			continue;
		}
		TAILQ_REMOVE(&w->ended, s, link);
		session_free(s);
	}
	for (c = TAILQ_FIRST(&w->gone); c; c = next_c) {
		next_c = TAILQ_NEXT(c, link);
		if (w->maps && kernel_forget_conn(w, c) < 0 && !all) {
			left = true;
			continue;
		}
		TAILQ_REMOVE(&w->gone, c, link);
		free(c);
	}
	if (left && !w->reap_timer.set)
		worker_timer_set(w, &w->reap_timer, w->now + REAP_AGAIN_NS);
	if (w->draining && !w->n_sessions && !w->incoming && w->drained) {
		w->drained(w);
		w->drained = NULL;
	}
}

/* Those that are on the list now; what they put there waits for the next turn. */
static void run_again(struct worker *w)
{
	struct stream *s;

	for (uint32_t n = w->n_again; n && (s = TAILQ_FIRST(&w->again)); n--) {
		stream_not_again(w, s);
		stream_pump(w, s);
		stream_pumped(w, s);
	}
}

/* ---- timers ----------------------------------------------------------------------------- */

/* Makes sure that the loop wakes up for the first of the timers. It may wake too soon: one that was
 * cancelled is not worth a system call. */
static void wake_in_time(struct worker *w)
{
	const struct timer *first = w->timers.first;
	struct itimerspec when = {0};

	if (!first || (w->timer_at && w->timer_at <= first->at))
		return;
	w->timer_at = MAX(first->at, UINT64_C(1));
	when.it_value.tv_sec = (time_t)(w->timer_at / NSEC_PER_SEC);
	when.it_value.tv_nsec = (long)(w->timer_at % NSEC_PER_SEC);
	/* It fails for an invalid descriptor or time only, and allocates nothing. */
	(void)timerfd_settime(w->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void worker_timer_set(struct worker *w, struct timer *t, uint64_t at)
{
	timer_set(&w->timers, t, at);
	if (!w->in_turn)
		wake_in_time(w);
}

void worker_timer_cancel(struct worker *w, struct timer *t)
{
	timer_cancel(&w->timers, t);
}

static void on_timer(struct worker *w)
{
	uint64_t expirations;

	/* What it says is of no interest, and that it may say nothing neither. */
	(void)!read(w->timer_fd, &expirations, sizeof(expirations));
	w->timer_at = 0;
	(void)timers_fire(&w->timers, w->now + TIMER_SLACK_NS);
}

/* The turn that it begins ends with reap(). */
static void on_reap(struct timer *t _unused_)
{
}

/* Sessions that are old enough for the kernel. */
static void on_adopt(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, adopt_timer);
	uint64_t age = w->daemon->config->engage_after;
	struct session *s;

	while ((s = TAILQ_FIRST(&w->awaiting)) && s->opened_ns + age <= w->now + TIMER_SLACK_NS)
		worker_adopt_now(w, s);
	if (s)
		worker_timer_set(w, t, MAX(s->opened_ns + age, w->now + NSEC_PER_MSEC));
}

/* ---- lane events ------------------------------------------------------------------------ */

static int on_lane_event(void *arg, void *data, size_t size)
{
	const struct lane_event *e = data;
	struct worker *w = arg;
	const struct lane *lane;
	struct session *s;

	/* Of generation 0: posted while the lane was being closed, whoever has the slot by now. */
	if (size != sizeof(*e) || e->lane >= w->maps->n_lanes || !e->generation)
		return 0;
	lane = &w->maps->lanes[e->lane];
	/* The slot may have a new session by now, perhaps another worker's. */
	if (!lane_event_is_due(lane, e, w->index))
		return 0;
	s = w->daemon->owners[e->lane / 2];
	if (s && s->generation == e->generation && s->state != SESSION_ENDED)
		kernel_event(w, &s->streams[e->lane % 2], e);
	return 0;
}

/* An event that found its ring full left a trace in a counter: then every lane is looked at. */
static void look_at_all(struct worker *w)
{
	uint64_t lost = maps_verdicts(w->maps, VERDICT_EVENT_LOST);
	struct session *s, *next;

	if (lost == w->lost_seen)
		return;
	stat_add(&w->stats.events_lost, lost - w->lost_seen);
	w->lost_seen = lost;
	for (s = TAILQ_FIRST(&w->sessions); s; s = next) {
		next = TAILQ_NEXT(s, link);
		for (int d = UP; d <= DOWN && s->state != SESSION_ENDED; d++)
			if (s->streams[d].engine == &engine_kernel)
				stream_again(w, &s->streams[d]);
	}
}

/* ---- the loop --------------------------------------------------------------------------- */

static void on_poll(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct epoll_event events[POLL_BATCH];
	struct worker *w = arg;
	bool timer = false, ring = false;
	int n = epoll_wait(w->poll_fd, events, POLL_BATCH, 0);

	w->now = now_ns();
	w->in_turn = true;
	for (int i = 0; i < n; i++) {
		void *who = events[i].data.ptr;

		if (who == &w->timer_fd)
			timer = true;
		else if (who == &w->ring_fd)
			ring = true;
		else
			session_event(who, events[i].events);
	}
	if (ring) {
		(void)ring_buffer__consume(w->ring);
		look_at_all(w);
	}
	if (timer)
		on_timer(w);
	run_again(w);
	reap(w, false);
	w->in_turn = false;
	wake_in_time(w);
	if (!TAILQ_EMPTY(&w->again))
		event_active(w->poll_event, EV_READ, 0);
}

int worker_watch(struct worker *w, struct conn *c, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = c};

	if (c->armed == events)
		return 0;
	if (epoll_ctl(w->poll_fd, c->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e) < 0)
		return -errno;
	c->armed = events;
	return 0;
}

int worker_ask(struct worker *w, struct conn *c)
{
	struct epoll_event e = {.events = c->armed, .data.ptr = c};

	return epoll_ctl(w->poll_fd, EPOLL_CTL_MOD, c->fd, &e) < 0 ? -errno : 0;
}

void worker_drain(struct worker *w)
{
	if (w->draining)
		return;
	w->now = now_ns();
	w->draining = true;
	for (size_t i = 0; i < w->daemon->n_listeners; i++)
		listener_stop(&w->daemon->listeners[i], w);
	for (struct session *s = TAILQ_FIRST(&w->sessions), *next; s; s = next) {
		next = TAILQ_NEXT(s, link);
		if (s->state == SESSION_HTTP)
			http_drain(s);
	}
	reap(w, false);
}

void worker_end_all(struct worker *w, enum session_end end)
{
	struct session *s;

	w->now = now_ns();
	while ((s = TAILQ_FIRST(&w->sessions)))
		session_end(s, end);
	reap(w, false);
}

/* ---- set-up ----------------------------------------------------------------------------- */

static int watch_own(struct worker *w, int *fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = fd};

	return epoll_ctl(w->poll_fd, EPOLL_CTL_ADD, *fd, &e) < 0 ? -errno : 0;
}

static int open_fds(struct worker *w)
{
	int err;

	w->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	w->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (w->poll_fd < 0 || w->timer_fd < 0 || w->reserve_fd < 0)
		return -errno;
	err = watch_own(w, &w->timer_fd);
	if (err || !w->maps)
		return err;
	w->ring_fd = w->maps->rings[w->index];
	w->ring = ring_buffer__new(w->ring_fd, on_lane_event, w, NULL);
	if (!w->ring)
		return -errno;
	return watch_own(w, &w->ring_fd);
}

static int open_base(struct worker *w)
{
	struct event_config *ec = event_config_new();

	if (!ec)
		return -ENOMEM;
	/* on_poll() makes itself active again while streams have more to do, and libevent looks for
	 * what else is ready only when nothing is active: listeners and mail would wait for as
	 * long. */
	if (event_config_set_flag(ec, EVENT_BASE_FLAG_NOLOCK) < 0 ||
	    event_config_set_max_dispatch_interval(ec, NULL, TURNS_IN_A_ROW, 0) < 0) {
		event_config_free(ec);
		return -EINVAL;
	}
	w->base = event_base_new_with_config(ec);
	event_config_free(ec);
	if (!w->base)
		return -ENOMEM;
	w->poll_event = event_new(w->base, w->poll_fd, EV_READ | EV_PERSIST, on_poll, w);
	if (!w->poll_event || event_add(w->poll_event, NULL) < 0)
		return -ENOMEM;
	return mailbox_init(&w->mail, w->base, w);
}

int worker_init(struct worker *w, struct daemon *d, unsigned int index)
{
	int err;

	*w = (struct worker){
	    .daemon = d,
	    .maps = d->maps,
	    .index = index,
	    .poll_fd = -1,
	    .timer_fd = -1,
	    .reserve_fd = -1,
	    .ring_fd = -1,
	    .adopt_timer.fire = on_adopt,
	    .reap_timer.fire = on_reap,
	};
	TAILQ_INIT(&w->sessions);
	TAILQ_INIT(&w->awaiting);
	TAILQ_INIT(&w->ended);
	TAILQ_INIT(&w->sniffing);
	TAILQ_INIT(&w->gone);
	TAILQ_INIT(&w->again);
	w->now = now_ns();

	w->buffer = malloc(COPY_BUFFER);
	w->scratch = malloc(HTTP_SCRATCH);
	w->fields = calloc(WORKER_FIELDS, sizeof(*w->fields));
	err = w->buffer && w->scratch && w->fields ? open_fds(w) : -ENOMEM;
	if (!err)
		err = open_base(w);
	if (!err)
		err = idle_init(w);
	if (err)
		return log_errno(err, "worker %u: setting up", index);
	return 0;
}

/*
 * A pause that comes late costs memory and throughput, and the worker needs the processor only for
 * moments: where the scheduler knows slices (Linux 6.12), it asks for a short one, which is served
 * sooner. Elsewhere this changes nothing.
 */
static void ask_for_short_slice(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = {.size = sizeof(attr)};

	/* What the administrator has set (Nice=, CPUSchedulingPolicy=) stays. */
	if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0) < 0 || attr.policy != SCHED_OTHER)
		return;
	attr.runtime = 100 * NSEC_PER_USEC;
	(void)syscall(SYS_sched_setattr, 0, &attr, 0);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	ask_for_short_slice();

	(void)event_base_loop(w->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

int worker_run_thread(struct worker *w)
{
	char name[16];
	sigset_t all, old;
	int err;

	/* Signals go to the main thread. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&w->thread, NULL, worker_main, w);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;
	w->started = true;
	(void)snprintf(name, sizeof(name), "worker/%u", w->index);
	(void)pthread_setname_np(w->thread, name);
	return 0;
}

static void stop(void *owner, void *arg _unused_)
{
	struct worker *w = owner;

	(void)event_base_loopbreak(w->base);
}

void worker_stop(struct worker *w)
{
	if (w->started) {
		mailbox_post(&w->mail, &w->letters.stop, stop, NULL);
		(void)pthread_join(w->thread, NULL);
	}
	w->started = false;
}

void worker_fini(struct worker *w)
{
	if (w->base) {
		worker_end_all(w, END_SHUTDOWN);
		idle_fini(w);
		reap(w, true);
	}
	mailbox_fini(&w->mail);
	if (w->poll_event)
		event_free(w->poll_event);
	if (w->base)
		event_base_free(w->base);
	ring_buffer__free(w->ring);
	closep_(&w->poll_fd);
	closep_(&w->timer_fd);
	closep_(&w->reserve_fd);
	free(w->buffer);
	free(w->scratch);
	free(w->fields);
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker.h"

#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "accept.h"
#include "balance.h"
#include "bypass/maps.h"
#include "config/config.h"
#include "daemon.h"
#include "http/field.h"
#include "listener.h"
#include "log.h"
#include "session.h"
#include "setup.h"
#include "splice/engage.h"
#include "splice/maps.h"
#include "splice/splicer.h"
#include "spreading.h"
#include "upstream/idle.h"

/* Callbacks of libevent's before it looks for new events: with hundreds of busy streams one turn is
 * long, and a thread whose mail waits for several of them is taken for one that hangs. */
#define TURNS_IN_A_ROW 1
#define REAP_AGAIN_NS  (100 * NSEC_PER_MSEC)
/* Without a session for so long: memory that was freed goes back to the system. */
#define TRIM_AFTER_NS NSEC_PER_SEC

/* ---- what has ended --------------------------------------------------------------------- */

void worker_close_ended(struct worker *w)
{
	struct session *s;

	TAILQ_FOREACH (s, &w->home.ended, link)
		session_close(s, false);
}

/*
 * Closes and frees what has ended. What the kernel's maps will not let go of now is kept and tried
 * again later, so that no entry stays behind; with `all`, when the maps go next, it is freed all
 * the same.
 */
static void reap(struct worker *w, bool all)
{
	struct session *s, *next_s;
	struct conn *c, *next_c;
	bool left = false, lingering = false; /* there is something to try again; to wait for */

	for (s = TAILQ_FIRST(&w->home.ended); s; s = next_s) {
		next_s = TAILQ_NEXT(s, link);
		session_close(s, all);
		if (!s->closed) {
			left = lingering = true;
			continue;
		}
		if (splice_forget(&s->splice) < 0 && !all) {
			left = true;
			continue;
		}
		TAILQ_REMOVE(&w->home.ended, s, link);
		session_free(s);
		w->untrimmed = true;
	}
	for (c = TAILQ_FIRST(&w->loop.gone); c; c = next_c) {
		next_c = TAILQ_NEXT(c, link);
		if (w->splicer.maps && kernel_forget_conn(w->splicer.maps, c) < 0 && !all) {
			left = true;
			continue;
		}
		TAILQ_REMOVE(&w->loop.gone, c, link);
		conn_free(c);
	}
	if (left && !timer_is_set(&w->reap_timer))
		loop_timer_set(&w->loop, &w->reap_timer, w->loop.now + REAP_AGAIN_NS);
	if (w->untrimmed && !w->home.n && !timer_is_set(&w->trim_timer))
		loop_timer_set(&w->loop, &w->trim_timer, w->loop.now + TRIM_AFTER_NS);
	if (w->home.drain >= DRAIN_RELIEVED && !w->home.n && !balance_incoming(w) && !lingering &&
	    !lingering_any(&w->lingering) && w->drained) {
		w->drained(w);
		w->drained = NULL;
	}
}

/* The turn that it begins ends with reap(). */
static void on_reap(struct timer *t _unused_)
{
}

/*
 * malloc() keeps what a burst of sessions has left in pieces, and each burst leaves others. Giving
 * it back takes milliseconds in which no thread gets memory: that is for when nobody has sessions.
 */
static void on_trim(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, trim_timer);

	w->untrimmed = false;
	/* Whoever has some does it after their end. */
	for (unsigned int i = 0; i < w->daemon->n_workers; i++)
		if (atomic_load(&w->daemon->workers[i].home.n))
			return;
	(void)malloc_trim(0);
}

/* ---- the turn ---------------------------------------------------------------------------- */

static void on_ring(struct loop *l)
{
	struct worker *w = container_of(l, struct worker, loop);

	splicer_events(&w->splicer);
}

static void on_turn_over(struct loop *l)
{
	struct worker *w = container_of(l, struct worker, loop);

	memory_turn(w);
	reap(w, false);
}

static void on_turn_lasts(struct loop *l)
{
	memory_turn_lasts(container_of(l, struct worker, loop));
}

void worker_serve(struct worker *w)
{
	w->loop.now = now_ns();
	if (w->home.drain >= DRAIN_RELIEVED)
		return;
	accept_serve(w, w->home.setup);
}

void worker_drain(struct worker *w, enum drain drain)
{
	bool accepts = w->home.drain < DRAIN_RELIEVED;
	struct session *s;

	if (drain <= w->home.drain)
		return;
	w->loop.now = now_ns();
	w->home.drain = drain;
	if (accepts && drain >= DRAIN_RELIEVED) {
		accept_stop(w, w->home.setup);
		lingering_leave(&w->lingering);
	}
	TAILQ_FOREACH (s, &w->home.live, link)
		if (s->protocol->drain)
			s->protocol->drain(s);
	reap(w, false);
}

bool worker_kill(struct worker *w, uint64_t id)
{
	struct session *s;

	w->loop.now = now_ns();
	TAILQ_FOREACH (s, &w->home.live, link)
		if (s->id == id)
			break;
	if (!s)
		return false;
	session_end(s, END_KILLED);
	reap(w, false);
	return true;
}

void worker_end_all(struct worker *w, enum session_end end)
{
	struct session *s;

	w->loop.now = now_ns();
	lingering_end(&w->lingering);
	while ((s = TAILQ_FIRST(&w->home.live)))
		session_end(s, end);
	reap(w, false);
}

static void renew(struct session *s)
{
	if (s->protocol->renew)
		s->protocol->renew(s);
}

void worker_check_kept(struct worker *w)
{
	w->loop.now = now_ns();
	idle_check(&w->idle);
	walk_begin(&w->renewal);
	loop_look(&w->loop);
}

void worker_adopt(struct worker *w, struct setup *s)
{
	struct setup *was = w->home.setup;

	w->loop.now = now_ns();
	w->home.sniffing_max = MAX(s->config->max_sniffing / w->daemon->n_workers, 1U);
	accept_adopt(w, s, was);
	/* Before the last setup that has those servers may go. */
	if (s->lost_servers)
		worker_check_kept(w);
	else
		walk_begin(&w->renewal);
	setup_adopt(s, &w->home);
}

static void check_kept_letter(void *owner, void *arg _unused_)
{
	worker_check_kept(owner);
}

void workers_check_kept(struct daemon *d)
{
	for (unsigned int i = 0; i < d->n_workers; i++) {
		struct worker *w = &d->workers[i];

		mailbox_post(&w->mail, &w->letters.check_kept, check_kept_letter, NULL);
	}
}

static void give_up_letter(void *owner, void *arg _unused_)
{
	struct worker *w = owner;

	if (idle_give_up(&w->idle))
		loop_look(&w->loop);
}

void worker_asks_for_kept(struct worker *w)
{
	for (unsigned int i = 0; i < w->daemon->n_workers; i++) {
		struct worker *other = &w->daemon->workers[i];

		if (other != w)
			mailbox_post(&other->mail, &other->letters.give_up, give_up_letter, NULL);
	}
}

/* ---- for dials --------------------------------------------------------------------------- */

static void mark(void *arg, int fd, bool bypass)
{
	const struct worker *w = arg;

	daemon_own(w->daemon, fd);
	/* Without a mark the session is not bypassed. */
	if (bypass && w->daemon->bypass)
		(void)bypass_mark(w->daemon->bypass, fd);
}

/* The listeners wait until the reserve is filled again. */
static bool spare_fd(void *arg)
{
	struct worker *w = arg;

	worker_asks_for_kept(w);
	if (w->reserve_fd < 0)
		return false;
	(void)close(w->reserve_fd);
	w->reserve_fd = -1;
	return true;
}

/* ---- set-up ----------------------------------------------------------------------------- */

static int open_fds(struct worker *w)
{
	int err;

	w->reserve_fd = eventfd(0, EFD_CLOEXEC);
	if (w->reserve_fd < 0)
		return -errno;
	err = splicer_init(&w->splicer, &w->loop, w->daemon->maps, w->index, &w->stats,
			   &w->daemon->memory);
	w->splicer.bypass = w->daemon->bypass;
	return err;
}

static int open_base(struct worker *w)
{
	struct event_config *ec = event_config_new();
	int err;

	if (!ec)
		return -ENOMEM;
	/* The loop makes itself active again while streams have more to do, and libevent looks for
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
	err = loop_init(&w->loop, w->base);
	w->loop.added = on_ring;
	w->loop.over = on_turn_over;
	w->loop.lasts = on_turn_lasts;
	return err ? err : mailbox_init(&w->mail, w->base, w);
}

static int alloc_home(struct home *h)
{
	h->scratch = malloc(HOME_SCRATCH);
	h->fields = calloc(HOME_FIELDS, sizeof(*h->fields));
	return h->scratch && h->fields ? 0 : -ENOMEM;
}

int worker_init(struct worker *w, struct daemon *d, unsigned int index)
{
	int err;

	*w = (struct worker){
	    .daemon = d,
	    .index = index,
	    .loop = {.poll_fd = -1, .timer_fd = -1},
	    .reserve_fd = -1,
	    .reap_timer.fire = on_reap,
	    .trim_timer.fire = on_trim,
	    .home = {.loop = &w->loop,
		     .splicer = &w->splicer,
		     .dialer = &w->dialer,
		     .idle = &w->idle,
		     .stats = &w->stats,
		     .index = index,
		     .settings = &d->settings,
		     .memory = &d->memory,
		     .slots = &d->slots,
		     .last_id = &d->last_id,
		     .access_log = &d->access_log,
		     .log_empty = &d->log_empty,
		     .instance = d->instance},
	};
	w->load = spreading_worker(d->spreading, index);
	if (!w->load)
		w->load = &w->own_load;
	w->home.told_n = &w->load->sessions;
	TAILQ_INIT(&w->home.live);
	TAILQ_INIT(&w->home.ended);
	TAILQ_INIT(&w->home.sniffing);
	lingering_init(&w->lingering, &w->loop, &d->steers_still, accept_last);
	idle_init(&w->idle, &w->loop, index);

	err = alloc_home(&w->home);
	if (!err)
		err = open_base(w);
	if (!err)
		err = open_fds(w);
	w->dialer = (struct dialer){
	    .loop = &w->loop,
	    .idle = &w->idle,
	    .retries = &w->stats.retries,
	    .mark = mark,
	    .spare_fd = spare_fd,
	    .arg = w,
	};
	if (err)
		return log_errno(err, "worker %u: setting up", index);
	memory_round_init(w);
	tally_round_init(w);
	walk_init(&w->renewal, &w->home);
	w->renewal.visit = renew;
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
		idle_fini(&w->idle);
		reap(w, true);
	}
	dialer_fini(&w->dialer);
	mailbox_fini(&w->mail);
	loop_fini(&w->loop);
	if (w->base)
		event_base_free(w->base);
	splicer_fini(&w->splicer);
	closep_(&w->reserve_fd);
	free(w->home.scratch);
	free(w->home.fields);
}

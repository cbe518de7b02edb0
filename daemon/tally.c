// SPDX-License-Identifier: GPL-2.0-or-later
#include "tally.h"

#include <errno.h>
#include <event2/event.h>

#include "daemon.h"
#include "session.h"
#include "sessionlog.h"
#include "stats.h"
#include "util.h"
#include "worker.h"

/* Sessions that are looked at in one turn of a worker. */
#define BATCH 128

/* ---- a worker --------------------------------------------------------------------------- */

static void on_over(void *owner, void *arg);

static void round_over(struct worker *w, struct tally *t)
{
	stat_set(&w->stats.sessions_active, w->home.n);
	stat_set(&w->stats.sessions_sniffing, w->home.n_sniffing);
	mailbox_post(t->mail, &w->tally.over, on_over, w);
}

static void on_task(struct task *task)
{
	struct worker *w = container_of(task, struct worker, tally.task);
	struct home *h = &w->home;

	for (int i = 0; h->tally_next && w->tally.rest && i < BATCH; i++) {
		struct session *s = h->tally_next;

		h->tally_next = TAILQ_NEXT(s, link);
		w->tally.rest--;
		session_tally(s);
	}
	if (h->tally_next && w->tally.rest) {
		loop_again(&w->loop, task);
		return;
	}
	h->tally_next = NULL;
	round_over(w, w->daemon->tally);
}

static void on_begin(void *owner, void *arg _unused_)
{
	struct worker *w = owner;

	w->home.tally_next = TAILQ_FIRST(&w->home.live);
	/* Others may be put behind those that are there meanwhile, without an end. */
	w->tally.rest = w->home.n * 2;
	loop_again(&w->loop, &w->tally.task);
}

void tally_round_init(struct worker *w)
{
	w->tally.task.run = on_task;
}

bool tally_answered(const struct worker *w)
{
	return !w->tally.busy;
}

/* ---- the main thread -------------------------------------------------------------------- */

static void tell(struct tally *t, bool complete)
{
	/* Those who ask from within are for the next one. */
	struct tally_waiting all = TAILQ_HEAD_INITIALIZER(all);
	struct tally_wait *w;

	TAILQ_CONCAT(&all, &t->waiting, link);
	t->timed = false;
	while ((w = TAILQ_FIRST(&all))) {
		TAILQ_REMOVE(&all, w, link);
		w->done(w, complete);
	}
}

static void on_over(void *owner _unused_, void *arg)
{
	struct worker *w = arg;
	struct tally *t = w->daemon->tally;

	w->tally.busy = false;
	if (--t->remaining == 0)
		tell(t, true);
}

static void on_timeout(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct tally *t = arg;

	if (t->timed)
		tell(t, false);
}

/* Setting a timer that is set takes no memory: see tally_init(). */
static void set_timeout(struct tally *t)
{
	static const struct timeval patience = {.tv_sec = TALLY_PATIENCE_NS / NSEC_PER_SEC};

	if (t->timed)
		return;
	t->timed = true;
	(void)evtimer_add(t->timeout, &patience);
}

void tally_ask(struct tally *t, struct tally_wait *w)
{
	struct daemon *d = t->daemon;

	TAILQ_INSERT_TAIL(&t->waiting, w, link);
	set_timeout(t);
	if (t->remaining)
		return;
	t->remaining = d->n_workers;
	for (unsigned int i = 0; i < d->n_workers; i++) {
		struct worker *to = &d->workers[i];

		to->tally.busy = true;
		mailbox_post(&to->mail, &to->tally.begin, on_begin, NULL);
	}
}

int tally_init(struct tally *t, struct daemon *d, struct event_base *base, struct mailbox *mail)
{
	static const struct timeval never = {.tv_sec = 1000000000};

	*t = (struct tally){.daemon = d, .mail = mail};
	TAILQ_INIT(&t->waiting);
	d->tally = t;
	t->timeout = evtimer_new(base, on_timeout, t);
	return t->timeout && evtimer_add(t->timeout, &never) == 0 ? 0 : -ENOMEM;
}

void tally_fini(struct tally *t)
{
	if (t->daemon)
		tell(t, false);
	if (t->timeout)
		event_free(t->timeout);
	t->timeout = NULL;
}

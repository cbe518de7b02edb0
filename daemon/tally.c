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

/* ---- a worker --------------------------------------------------------------------------- */

static void on_over(void *owner, void *arg);

static void round_over(struct walk *walk)
{
	struct worker *w = container_of(walk, struct worker, tally.walk);

	stat_set(&w->stats.sessions_active, w->home.n);
	stat_set(&w->stats.sessions_sniffing, w->home.n_sniffing);
	mailbox_post(w->daemon->tally->mail, &w->tally.over, on_over, w);
}

static void on_begin(void *owner, void *arg _unused_)
{
	struct worker *w = owner;

	walk_begin(&w->tally.walk);
}

void tally_round_init(struct worker *w)
{
	struct walk *walk = &w->tally.walk;

	walk_init(walk, &w->home);
	walk->visit = session_tally;
	walk->over = round_over;
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

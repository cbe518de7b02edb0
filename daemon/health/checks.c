// SPDX-License-Identifier: GPL-2.0-or-later
#include "checks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../config/config.h"
#include "../daemon.h"
#include "../log.h"
#include "../setup.h"
#include "../upstream/pool.h"
#include "../worker.h"
#include "check.h"

/* The first checks are made within this time, or within health_interval. */
#define FIRST_NS (200 * NSEC_PER_MSEC)
/* How long it takes until a check that has to wait for others tries again. */
#define CROWDED_NS (20 * NSEC_PER_MSEC)

/* A server, and what is going on with it. */
struct watched {
	LIST_ENTRY(watched) link;
	struct checks *all;
	struct server *server;
	const struct pool_config *config; /* by which it is checked */
	struct event *timer;              /* when its next check begins */
	LIST_HEAD(, check) running;
	uint64_t busy;     /* a bit for each slot whose address is being checked */
	unsigned int last; /* slot that was checked last */
	bool late;         /* a check would have begun, but the one before goes on */
};

/* xorshift64: it only has to be different for each server and time. */
static uint64_t below(struct checks *all, uint64_t bound)
{
	all->random ^= all->random << 13;
	all->random ^= all->random >> 7;
	all->random ^= all->random << 17;
	return bound ? all->random % bound : 0;
}

/* Between 90 % and 110 % of it. */
static uint64_t about(struct checks *all, uint64_t ns)
{
	return ns - ns / 10 + below(all, ns / 5);
}

/* The timer's place is reserved from the beginning: it cannot fail. */
static void set_timer(struct watched *w, uint64_t ns)
{
	const struct timeval tv = timeval_of(ns);

	(void)evtimer_add(w->timer, &tv);
}

/* ---- a check ---------------------------------------------------------------------------- */

static void forget(struct check *c)
{
	struct watched *w = c->owner;

	LIST_REMOVE(c, link);
	w->busy &= ~(UINT64_C(1) << c->turn.slot);
	w->all->running[c->turn.hope]--;
	check_free(c);
}

static void on_done(struct check *c, const struct check_result *r)
{
	struct watched *w = c->owner;

	if (r && server_checked(w->server, &c->turn, r))
		workers_check_kept(w->all->daemon);
	forget(c);
	if (w->late)
		set_timer(w, 0);
	w->late = false;
}

static void begin(struct watched *w, const struct check_turn *turn)
{
	struct check *c = check_begin(w->all->base, w->config, w->server->text, turn, on_done, w);

	if (!c)
		return; /* no memory: as if it had found nothing out */
	LIST_INSERT_HEAD(&w->running, c, link);
	w->busy |= UINT64_C(1) << turn->slot;
	w->all->running[turn->hope]++;
}

static bool has_room(const struct checks *all, enum check_hope hope)
{
	unsigned int failing = all->running[CHECK_FAILS];
	unsigned int unsure = failing + all->running[CHECK_UNKNOWN];

	if (unsure + all->running[CHECK_ANSWERS] >= CHECKS_MAX)
		return false;
	if (hope != CHECK_ANSWERS && unsure >= CHECKS_UNSURE_MAX)
		return false;
	return hope != CHECK_FAILS || failing < CHECKS_FAILING_MAX;
}

/* The server's other addresses are as punctual as ever: one that fails loses its turn. */
static void wait_for_room(struct watched *w, const struct check_turn *turn)
{
	struct checks *all = w->all;

	if (turn->hope == CHECK_FAILS && turn->n_addrs > 1) {
		w->last = turn->slot;
		set_timer(w, about(all, w->config->health_interval / turn->n_addrs));
		return;
	}
	set_timer(w, CROWDED_NS / 2 + below(all, CROWDED_NS));
}

static void on_timer(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct watched *w = arg;
	struct checks *all = w->all;
	struct check_turn turn;

	if (!server_next_check(w->server, w->busy, w->last, &turn)) {
		/* If the one before is why, its end begins the next. */
		w->late = w->busy;
		set_timer(w, about(all, w->config->health_interval));
		return;
	}
	if (!has_room(all, turn.hope)) {
		wait_for_room(w, &turn);
		return;
	}
	w->last = turn.slot;
	begin(w, &turn);
	set_timer(w, turn.more
			 ? below(all, MIN(FIRST_NS, w->config->health_interval) / turn.n_addrs)
			 : about(all, w->config->health_interval / turn.n_addrs));
}

/* ---- servers ---------------------------------------------------------------------------- */

static void watched_free(struct watched *w)
{
	struct check *c;

	while ((c = LIST_FIRST(&w->running)))
		forget(c);
	LIST_REMOVE(w, link);
	if (w->timer)
		event_free(w->timer);
	w->server->watched = NULL;
	server_unref(w->server);
	free(w);
}

/* When the first check by that configuration is due, in ns. */
static uint64_t first_in(struct checks *all, const struct pool_config *c)
{
	return below(all, MIN(FIRST_NS, c->health_interval));
}

static bool asks_the_same(const struct pool_config *a, const struct pool_config *b)
{
	/* The header that says for whom the daemon speaks is a part of it. */
	return a->health_check == b->health_check && a->send_proxy == b->send_proxy &&
	       strcmp(a->health_path, b->health_path) == 0 &&
	       strcmp(a->health_host, b->health_host) == 0 &&
	       statuses_equal(&a->health_status, &b->health_status);
}

/* The newest configuration may ask another question, or at other times: neither is worth waiting
 * for the time of the one before. */
static void follow(struct watched *w)
{
	const struct pool_config *was = w->config, *is = w->server->newest->config;
	bool same = asks_the_same(was, is);
	struct check *c;

	w->config = is;
	/* What becomes of these says nothing of the new question. */
	while (!same && (c = LIST_FIRST(&w->running)))
		forget(c);
	if (!same || is->health_interval != was->health_interval)
		set_timer(w, first_in(w->all, is));
}

/* 0 or -ENOMEM. */
static int add(struct checks *all, struct server *s)
{
	const struct pool_config *c = s->newest->config;
	const struct timeval first = {.tv_usec = (suseconds_t)(first_in(all, c) / NSEC_PER_USEC)};
	struct watched *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->all = all;
	w->server = server_ref(s);
	w->config = c;
	s->watched = w;
	LIST_INIT(&w->running);
	LIST_INSERT_HEAD(&all->servers, w, link);
	w->timer = evtimer_new(all->base, on_timer, w);
	if (w->timer && evtimer_add(w->timer, &first) == 0)
		return 0;
	watched_free(w);
	return -ENOMEM;
}

void checks_look(const struct server *s)
{
	struct watched *w = s->watched;

	if (w)
		set_timer(w, 0);
}

/* Whether the newest configuration has the server checked. */
static bool is_wanted(const struct server *s)
{
	return !s->removed && s->newest->config->health_check != HEALTH_CHECK_NONE;
}

int checks_follow(struct checks *all)
{
	const struct setup *setup = all->daemon->setup;
	struct watched *w, *next;
	int err = 0;

	for (w = LIST_FIRST(&all->servers); w; w = next) {
		next = LIST_NEXT(w, link);
		if (is_wanted(w->server))
			follow(w);
		else
			watched_free(w);
	}
	for (size_t i = 0; !err && i < setup->n_pools; i++)
		for (size_t j = 0; !err && j < setup->pools[i]->n_servers; j++) {
			struct server *s = setup->pools[i]->servers[j];

			if (is_wanted(s) && !s->watched)
				err = add(all, s);
		}
	return err ? log_errno(err, "setting up the checks of servers") : 0;
}

int checks_start(struct checks *all, struct daemon *d, struct event_base *base)
{
	*all = (struct checks){.daemon = d, .base = base, .random = d->instance | 1};
	return checks_follow(all);
}

void checks_stop(struct checks *all)
{
	struct watched *w;

	while ((w = LIST_FIRST(&all->servers)))
		watched_free(w);
}

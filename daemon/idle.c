// SPDX-License-Identifier: GPL-2.0-or-later
#include "idle.h"

#include <errno.h>
#include <sys/epoll.h>

#include "daemon.h"
#include "worker.h"

static const struct timeval sweep_period = {.tv_sec = 1};

static struct idle_list *list_of(struct worker *w, const struct server *s)
{
	return &w->idle[s->index];
}

static void forget(struct worker *w, struct conn *c)
{
	struct idle_list *l = list_of(w, c->server);

	TAILQ_REMOVE(&l->conns, c, link);
	TAILQ_REMOVE(&w->idle_by_age, c, age_link);
	l->n--;
	c->idle_worker = NULL;
}

static void drop(struct worker *w, struct conn *c)
{
	forget(w, c);
	conn_close(c, false);
	worker_conn_gone(w, c);
}

/* Once a second while there is any: those that were not used for keepalive_timeout. */
static void sweep(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct worker *w = arg;
	struct conn *c, *next;

	w->now = now_ns();
	for (c = TAILQ_FIRST(&w->idle_by_age); c; c = next) {
		next = TAILQ_NEXT(c, age_link);
		if (w->now - c->idle_ns >= c->server->pool->config->keepalive_timeout)
			drop(w, c);
	}
	if (!TAILQ_EMPTY(&w->idle_by_age))
		(void)evtimer_add(w->idle_sweep, &sweep_period);
}

int idle_init(struct worker *w)
{
	size_t n = w->daemon->n_servers;

	TAILQ_INIT(&w->idle_by_age);
	w->idle = calloc(n + 1, sizeof(*w->idle));
	w->idle_sweep = evtimer_new(w->base, sweep, w);
	if (!w->idle || !w->idle_sweep)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		TAILQ_INIT(&w->idle[i].conns);
	return 0;
}

void idle_fini(struct worker *w)
{
	struct conn *c;

	while (w->idle && (c = TAILQ_FIRST(&w->idle_by_age)))
		drop(w, c);
	if (w->idle_sweep)
		event_free(w->idle_sweep);
	free(w->idle);
	w->idle = NULL;
	w->idle_sweep = NULL;
}

void idle_keep(struct worker *w, struct conn *c)
{
	struct idle_list *l = list_of(w, c->server);
	unsigned int max = c->server->pool->config->keepalive;

	if (!max || w->draining || c->fin_seen || c->failed) {
		conn_close(c, false);
		worker_conn_gone(w, c);
		return;
	}
	if (l->n >= max)
		drop(w, TAILQ_LAST(&l->conns, conn_list));
	if (TAILQ_EMPTY(&w->idle_by_age))
		(void)evtimer_add(w->idle_sweep, &sweep_period);
	c->idle_worker = w;
	c->idle_ns = w->now;
	c->used = true;
	l->n++;
	TAILQ_INSERT_HEAD(&l->conns, c, link);
	TAILQ_INSERT_TAIL(&w->idle_by_age, c, age_link);
}

struct conn *idle_take(struct worker *w, const struct server *server)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&list_of(w, server)->conns))) {
		if (conn_is_quiet(c)) {
			forget(w, c);
			return c;
		}
		/* It has ended, or says what nobody asked for; the event is on its way. */
		drop(w, c);
	}
	return NULL;
}

bool idle_give_up(struct worker *w)
{
	struct conn *c = TAILQ_FIRST(&w->idle_by_age);

	if (c)
		drop(w, c);
	return c;
}

void idle_event(struct conn *c, uint32_t events)
{
	if (c->idle_worker && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		drop(c->idle_worker, c);
}

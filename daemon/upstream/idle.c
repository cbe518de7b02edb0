// SPDX-License-Identifier: GPL-2.0-or-later
#include "idle.h"

#include <errno.h>
#include <sys/epoll.h>

#include "../daemon.h"
#include "../http/http.h"
#include "../worker.h"

/* A server that ends a connection within this time has not waited for another request on it. */
#define SOON_NS NSEC_PER_SEC

static struct idle_list *list_of(struct worker *w, const struct server *s)
{
	return &w->idle[s->index];
}

static void forget(struct worker *w, struct conn *c)
{
	struct idle_list *l = list_of(w, c->server);

	TAILQ_REMOVE(&l->conns, c, link);
	TAILQ_REMOVE(&w->idle_by_age, c, age_link);
	loop_timer_cancel(&w->loop, &c->idle_timer);
	l->n--;
	c->idle_worker = NULL;
}

static void drop(struct worker *w, struct conn *c)
{
	forget(w, c);
	conn_close(c, false);
	loop_conn_gone(&w->loop, c);
}

/* It was not used for keepalive_timeout. */
static void on_expired(struct timer *t)
{
	struct conn *c = container_of(t, struct conn, idle_timer);

	drop(c->idle_worker, c);
}

static bool is_current(struct conn *c)
{
	return server_has(c->server, &c->where, &c->where_seen);
}

void idle_check(struct worker *w)
{
	struct conn *c, *next;
	struct session *s;

	for (c = TAILQ_FIRST(&w->idle_by_age); c; c = next) {
		next = TAILQ_NEXT(c, age_link);
		if (!is_current(c))
			drop(w, c);
	}
	TAILQ_FOREACH (s, &w->sessions, link)
		if (s->http)
			http_own_check(s);
}

int idle_init(struct worker *w)
{
	size_t n = w->daemon->n_servers;

	TAILQ_INIT(&w->idle_by_age);
	w->idle = calloc(n + 1, sizeof(*w->idle));
	if (!w->idle)
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
	free(w->idle);
	w->idle = NULL;
}

void idle_keep(struct worker *w, struct conn *c)
{
	struct idle_list *l = list_of(w, c->server);
	unsigned int max = c->server->pool->config->keepalive;

	if (!max || w->draining || c->fin_seen || c->failed || !is_current(c)) {
		conn_close(c, false);
		loop_conn_gone(&w->loop, c);
		return;
	}
	if (l->n >= max)
		drop(w, TAILQ_LAST(&l->conns, conn_list));
	c->idle_worker = w;
	c->idle_timer.fire = on_expired;
	loop_timer_set(&w->loop, &c->idle_timer,
		       w->loop.now + c->server->pool->config->keepalive_timeout);
	c->idle_ns = w->loop.now;
	c->reused = c->used;
	c->used = true;
	if (c->reused)
		l->fickle = false;
	l->n++;
	TAILQ_INSERT_HEAD(&l->conns, c, link);
	TAILQ_INSERT_TAIL(&w->idle_by_age, c, age_link);
}

void idle_note_end(struct worker *w, const struct conn *c)
{
	if (!c->reused && w->loop.now - c->idle_ns < SOON_NS)
		list_of(w, c->server)->fickle = true;
}

bool idle_is_doubtful(struct worker *w, const struct conn *c)
{
	return !c->reused && list_of(w, c->server)->fickle;
}

struct conn *idle_take(struct worker *w, const struct server *server, bool careful)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&list_of(w, server)->conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (careful && idle_is_doubtful(w, c))
			continue;
		if (conn_is_quiet(c)) {
			forget(w, c);
			return c;
		}
		/* It has ended, or says what nobody asked for; the event is on its way. */
		idle_note_end(w, c);
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
	if (c->idle_worker && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		idle_note_end(c->idle_worker, c);
		drop(c->idle_worker, c);
	}
}

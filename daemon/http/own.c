// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Server connections that a client has for itself: by `reuse = never`, or because it has said on
 * one who it is (NTLM, Negotiate), which then holds for whatever is sent on it. They wait in its
 * connection for its next request to the same server, and end with it.
 */
#include <sys/epoll.h>

#include "../daemon.h"
#include "../upstream/idle.h"
#include "../worker.h"
#include "exchange.h"

/* The most that a client has; the one unused for longest is closed. */
#define OWN_MAX 5

static void forget(struct conn *c)
{
	struct http *h = c->owner->http;

	TAILQ_REMOVE(&h->own, c, link);
	h->n_own--;
	c->owner = NULL;
}

static void drop(struct conn *c)
{
	struct worker *w = c->owner->worker;

	forget(c);
	conn_close(c, false);
	loop_conn_gone(&w->loop, c);
}

void http_own_keep(struct session *s, struct conn *c)
{
	struct http *h = s->http;

	if (!server_has(c->server, &c->where, &c->where_seen)) {
		conn_close(c, false);
		loop_conn_gone(&s->worker->loop, c);
		return;
	}
	if (h->n_own == OWN_MAX)
		drop(TAILQ_LAST(&h->own, conn_list));
	c->owner = s;
	c->idle_ns = s->worker->loop.now;
	c->reused = c->used;
	c->used = true;
	TAILQ_INSERT_HEAD(&h->own, c, link);
	h->n_own++;
}

struct conn *http_own_take(struct session *s, const struct server *server, bool careful)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&s->http->own); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->server != server || (careful && idle_is_doubtful(s->worker, c)))
			continue;
		if (conn_is_quiet(c)) {
			forget(c);
			return c;
		}
		idle_note_end(s->worker, c);
		drop(c);
	}
	return NULL;
}

struct conn *http_own_identity(struct session *s)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&s->http->own); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (!c->identified || c->server->pool != s->pool)
			continue;
		if (conn_is_quiet(c)) {
			forget(c);
			return c;
		}
		idle_note_end(s->worker, c);
		drop(c);
	}
	return NULL;
}

void http_own_event(struct conn *c, uint32_t events)
{
	if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		return;
	idle_note_end(c->owner->worker, c);
	drop(c);
}

void http_own_check(struct session *s)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&s->http->own); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (!server_has(c->server, &c->where, &c->where_seen))
			drop(c);
	}
}

void http_own_close(struct session *s)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&s->http->own)))
		drop(c);
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "own.h"

#include <sys/epoll.h>

#include "idle.h"
#include "pool.h"

/* The most that a client has; the one unused for longest is closed. */
#define OWN_MAX 5

void own_init(struct own *o)
{
	*o = (struct own){0};
	TAILQ_INIT(&o->conns);
}

static void forget(struct kept *k)
{
	TAILQ_REMOVE(&k->own->conns, k, link);
	k->own->n--;
	k->own = NULL;
	k->conn->event = NULL;
}

static void drop(struct kept *k)
{
	forget(k);
	kept_close(k);
}

static void on_event(struct conn *c, uint32_t events)
{
	if (kept_is_over(c->kept, events))
		drop(c->kept);
}

void own_keep(struct own *o, struct idle *i, struct conn *c)
{
	struct kept *k = kept_begin(i, c), *last;

	if (!k)
		return;
	if (o->n == OWN_MAX) {
		last = TAILQ_LAST(&o->conns, kept_list);
		if (kept_makes_way(k, last)) {
			kept_close(k);
			return;
		}
		drop(last);
	}
	k->own = o;
	c->event = on_event;
	TAILQ_INSERT_HEAD(&o->conns, k, link);
	o->n++;
}

/* It is the caller's now, unless it has ended; false then, and it is closed. */
static bool take(struct kept *k)
{
	if (conn_is_quiet(k->conn)) {
		forget(k);
		return true;
	}
	idle_note_end(k->idle, k->conn);
	drop(k);
	return false;
}

struct conn *own_take(struct own *o, const struct server *server, const struct addr *where,
		      const struct sender *from, bool careful)
{
	struct kept *k, *next;

	for (k = TAILQ_FIRST(&o->conns); k; k = next) {
		next = TAILQ_NEXT(k, link);
		if (!kept_goes_to(k, server, where, from) || (careful && kept_is_doubtful(k)))
			continue;
		if (take(k))
			return k->conn;
	}
	return NULL;
}

struct conn *own_take_identified(struct own *o, const struct pool *pool)
{
	struct kept *k, *next;

	for (k = TAILQ_FIRST(&o->conns); k; k = next) {
		next = TAILQ_NEXT(k, link);
		if (k->conn->identified && pool_has(pool, k->conn->server) && take(k))
			return k->conn;
	}
	return NULL;
}

void own_check(struct own *o)
{
	struct kept *k, *next;

	for (k = TAILQ_FIRST(&o->conns); k; k = next) {
		next = TAILQ_NEXT(k, link);
		if (!kept_is_current(k))
			drop(k);
	}
}

void own_close(struct own *o)
{
	struct kept *k;

	while ((k = TAILQ_FIRST(&o->conns)))
		drop(k);
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "addresses.h"

#include <errno.h>
#include <stdlib.h>

#include "config/config.h"
#include "daemon.h"
#include "health/checks.h"
#include "internal/server.h"
#include "log.h"
#include "upstream/pool.h"
#include "upstream/resolve.h"
#include "util.h"
#include "worker.h"

/* Whom the resolver tells about a name. */
struct named_server {
	LIST_ENTRY(named_server) link;
	struct daemon *daemon;
	struct server *server;
};

/* The main thread resolves; the pool's lock carries the result to the workers. */
static void on_resolved(const struct addr *addrs, size_t n, void *arg)
{
	const struct named_server *named = arg;
	struct daemon *d = named->daemon;

	if (server_set_addrs(named->server, addrs, n))
		workers_check_kept(d);
	checks_look(named->server);
}

static int watch_server(struct addresses *a, struct server *s, const struct endpoint *e)
{
	struct named_server *named;

	if (!a->resolver)
		a->resolver = resolver_new(a->base, a->daemon->config->nameservers,
					   a->daemon->config->n_nameservers);
	if (!a->resolver)
		return -EIO;
	named = malloc(sizeof(*named));
	if (!named)
		return log_errno(-ENOMEM, "server %s", s->name);
	*named = (struct named_server){.daemon = a->daemon, .server = s};
	LIST_INSERT_HEAD(&a->named, named, link);
	return resolver_watch(a->resolver, e->host, e->port, on_resolved, named);
}

static int start_server(struct addresses *a, struct server *s, const struct endpoint *e)
{
	struct addr where;

	if (e->kind == ENDPOINT_INTERNAL) {
		if (!a->internal)
			a->internal = internal_start(&where);
		else
			where = a->internal_at;
		if (!a->internal)
			return -EIO;
		a->internal_at = where;
		(void)server_set_addrs(s, &where, 1); /* it had none */
	}
	return e->kind == ENDPOINT_NAME ? watch_server(a, s, e) : 0;
}

/* Those of the setup's servers that no setup had before, or all of them. */
static int start_servers(struct addresses *a, const struct setup *s, bool all)
{
	int err = 0;

	for (size_t i = 0; !err && i < s->n_pools; i++) {
		const struct pool *p = s->pools[i];

		for (size_t j = 0; !err && j < p->n_servers; j++)
			if (all || !p->servers[j]->newest)
				err =
				    start_server(a, p->servers[j], &p->config->servers[j].endpoint);
	}
	return err;
}

int addresses_start(struct addresses *a, struct daemon *d, struct event_base *base)
{
	a->daemon = d;
	a->base = base;
	return start_servers(a, d->setup, true);
}

int addresses_add(struct addresses *a, const struct setup *s)
{
	return start_servers(a, s, false);
}

/* Whose names are looked up no more. */
typedef bool (*gone_fn)(const struct server *s);

static void forget(struct addresses *a, gone_fn gone)
{
	struct named_server *named, *next;

	for (named = LIST_FIRST(&a->named); named; named = next) {
		next = LIST_NEXT(named, link);
		if (!gone(named->server))
			continue;
		LIST_REMOVE(named, link);
		resolver_unwatch(a->resolver, named);
		free(named);
	}
}

static bool is_new(const struct server *s)
{
	return !s->newest;
}

void addresses_undo(struct addresses *a)
{
	forget(a, is_new);
}

static bool is_removed(const struct server *s)
{
	return s->removed;
}

void addresses_retire(struct addresses *a)
{
	forget(a, is_removed);
}

void addresses_stop(struct addresses *a)
{
	struct named_server *named;

	resolver_free(a->resolver);
	while ((named = LIST_FIRST(&a->named))) {
		LIST_REMOVE(named, link);
		free(named);
	}
	internal_stop(a->internal);
}

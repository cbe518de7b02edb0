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
	SLIST_ENTRY(named_server) link;
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
	SLIST_INSERT_HEAD(&a->named, named, link);
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

int addresses_start(struct addresses *a, struct daemon *d, struct event_base *base)
{
	int err = 0;

	a->daemon = d;
	a->base = base;

	for (size_t i = 0; !err && i < d->setup->n_pools; i++)
		for (size_t j = 0; !err && j < d->setup->pools[i]->n_servers; j++)
			err = start_server(a, d->setup->pools[i]->servers[j],
					   &d->setup->config->pools[i].servers[j].endpoint);
	return err;
}

void addresses_stop(struct addresses *a)
{
	struct named_server *named;

	resolver_free(a->resolver);
	while ((named = SLIST_FIRST(&a->named))) {
		SLIST_REMOVE_HEAD(&a->named, link);
		free(named);
	}
	internal_stop(a->internal);
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "route.h"

/* The longest time for which nothing may happen on a connection before the daemon ends it. */
static uint64_t longest_silence(const struct listener_config *c)
{
	uint64_t idle = c->idle_timeout ? c->idle_timeout : UINT64_MAX;
	uint64_t tunnel = c->tunnel_timeout ? c->tunnel_timeout : UINT64_MAX;
	uint64_t http = MAX(MAX(c->request_timeout, c->response_timeout),
			    MAX(c->head_timeout, c->keepalive_timeout));

	switch (c->protocol) {
	case PROTOCOL_HTTP:
		return MAX(http, tunnel);
	case PROTOCOL_AUTO:
		return MAX(MAX(http, tunnel), idle);
	default:
		return idle;
	}
}

static struct listener_account *account_new(const char *name, unsigned int n_workers)
{
	struct listener_account *a = aligned_alloc(STATS_LINE, sizeof(*a));
	size_t size = n_workers * sizeof(*a->parts);

	if (!a)
		return NULL;
	memset(a, 0, sizeof(*a));
	a->refs = 1;
	a->name = strdup(name);
	a->parts = aligned_alloc(STATS_LINE, size);
	if (a->name && a->parts) {
		memset(a->parts, 0, size);
		return a;
	}
	free(a->name);
	free(a->parts);
	free(a);
	return NULL;
}

static void account_unref(struct listener_account *a)
{
	if (!a || --a->refs)
		return;
	free(a->name);
	free(a->parts);
	free(a);
}

static bool asks_destination(const struct listener_config *c)
{
	for (size_t i = 0; i < c->n_routes; i++)
		for (size_t j = 0; j < c->routes[i].n_matches; j++)
			if (c->routes[i].matches[j].kind == MATCH_DESTINATION ||
			    c->routes[i].matches[j].kind == MATCH_PORT)
				return true;
	return false;
}

int listener_init(struct listener *l, struct setup *setup, struct pool **pools,
		  const struct listener_config *config, unsigned int n_workers,
		  const struct listener *was)
{
	*l = (struct listener){
	    .config = config, .setup = setup, .pools = pools, .silence = longest_silence(config)};
	if (config->pool_index != SIZE_MAX)
		l->pool = pools[config->pool_index];
	l->tunnels_h2 = listener_config_tunnels_h2(config);
	l->asks_destination = asks_destination(config);
	l->account = was ? was->account : account_new(config->name, n_workers);
	if (was)
		l->account->refs++;
	l->routes = routes_new(config);
	l->bindings = calloc(config->n_binds + 1, sizeof(struct binding *));
	return l->account && l->routes && l->bindings ? 0 : -ENOMEM;
}

void listener_fini(struct listener *l)
{
	routes_free(l->routes);
	free(l->bindings);
	account_unref(l->account);
	*l = (struct listener){0};
}

bool listener_allows(const struct listener *l, const struct addr *a)
{
	const struct listener_config *c = l->config;

	for (size_t i = 0; i < c->n_deny; i++)
		if (cidr_match(&c->deny[i], a))
			return false;
	for (size_t i = 0; i < c->n_allow; i++)
		if (cidr_match(&c->allow[i], a))
			return true;
	return c->n_allow == 0;
}

struct pool *listener_route(const struct listener *l, const struct route_query *query)
{
	size_t i = routes_find(l->routes, query);

	if (i != SIZE_MAX)
		return l->pools[i];
	return route_is_connect(query) ? NULL : l->pool;
}

bool listener_tells(const struct listener *l)
{
	return l->config->protocol == PROTOCOL_HTTP || l->config->protocol == PROTOCOL_AUTO;
}

bool listener_reserve(struct listener *l)
{
	unsigned int max = l->config->max_sessions;

	if (atomic_fetch_add(&l->account->places, 1) < max || !max)
		return true;
	listener_unreserve(l);
	return false;
}

void listener_unreserve(struct listener *l)
{
	atomic_fetch_sub(&l->account->places, 1);
}

void listener_session_begins(struct listener *l)
{
	atomic_fetch_add(&l->account->active, 1);
}

void listener_session_ended(struct listener *l)
{
	atomic_fetch_sub(&l->account->active, 1);
	listener_unreserve(l);
}

bool listener_bypasses(const struct listener *l)
{
	return l->config->local_bypass != LOCAL_BYPASS_NO && !l->foreign;
}

bool listener_marks_clients(const struct listener *l)
{
	return listener_bypasses(l) && l->config->local_bypass != LOCAL_BYPASS_SERVER;
}

bool listener_marks_servers(const struct listener *l)
{
	return listener_bypasses(l) && l->config->local_bypass != LOCAL_BYPASS_CLIENT;
}

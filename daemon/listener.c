// SPDX-License-Identifier: GPL-2.0-or-later
#include "listener.h"

#include <errno.h>

#include "log.h"
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

int listener_init(struct listener *l, struct daemon *d, struct pool **pools,
		  const struct listener_config *config)
{
	*l = (struct listener){
	    .config = config, .daemon = d, .pools = pools, .silence = longest_silence(config)};
	if (config->pool_index != SIZE_MAX)
		l->pool = pools[config->pool_index];
	l->tunnels_h2 = listener_config_tunnels_h2(config);
	l->routes = routes_new(config);
	if (!l->routes)
		return log_errno(-ENOMEM, "listener %s", config->name);
	return 0;
}

void listener_fini(struct listener *l)
{
	routes_free(l->routes);
	l->routes = NULL;
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

void listener_session_ended(struct listener *l)
{
	atomic_fetch_sub(&l->active, 1);
}

bool listener_bypasses(const struct listener *l)
{
	return l->config->local_bypass != LOCAL_BYPASS_NO;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether HTTP/2 passes: what `h2 = auto` means for a listener. */
#include "config.h"

static bool looks_at_requests(const struct route_config *r)
{
	for (size_t i = 0; i < r->n_matches; i++) {
		enum match_kind kind = r->matches[i].kind;

		if (kind == MATCH_PATH || kind == MATCH_METHOD || kind == MATCH_HEADER)
			return true;
	}
	return false;
}

/* A configuration that was not read from a file may lack a text altogether. */
static bool is_set(const char *text)
{
	return text && *text;
}

bool listener_config_tunnels_h2(const struct listener_config *c)
{
	if (c->h2 != H2_AUTO)
		return c->h2 == H2_TUNNEL;
	for (size_t i = 0; i < c->n_routes; i++)
		if (looks_at_requests(&c->routes[i]))
			return false;
	return !c->body_max && c->x_forwarded_for == FORWARD_NO && !c->x_forwarded_proto &&
	       c->forwarded == FORWARD_NO && !is_set(c->via) && !is_set(c->request_id) &&
	       c->traceparent == TRACEPARENT_PASS;
}

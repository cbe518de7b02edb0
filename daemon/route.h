/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The routes of a listener, made for looking up: exact names and *.suffixes are hashed, so that
 * thousands of them cost no more than tens. Built once, read by all workers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct routes;

/* What is known of a session or request. NULL: it is not known, and no matcher for it holds. */
struct route_query {
	const char *sni, *host; /* lower case, without port and trailing dot */
	const char *path, *method;
	size_t path_len, method_len;
	const char *alpn; /* names as on the wire, each after its length */
	uint16_t alpn_len;
	const struct addr *src;
	/* Whether there is such a header field, with this value unless it is NULL. */
	bool (*header)(void *arg, const char *name, const char *value);
	void *arg;
};

/* A request for a tunnel. */
bool route_is_connect(const struct route_query *q);

/* The configuration must outlive the routes. NULL when out of memory. */
struct routes *routes_new(const struct listener_config *config);
void routes_free(struct routes *r);
/*
 * The pool_index of the first route, in the file's order, of which all matchers hold; SIZE_MAX:
 * there is none. No route is for CONNECT that does not say so: whatever a tunnel carries has passed
 * by what the listener does to requests.
 */
size_t routes_find(const struct routes *r, const struct route_query *q);
/* Whether some route could be for this host, whatever the rest of the request says. */
bool routes_know_host(const struct routes *r, const char *host);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The routes of a listener, made for looking up: exact names and *.suffixes are hashed, and paths
 * sorted, so that thousands of them cost no more than tens. Built once, read by all workers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "routequery.h"

struct routes;

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

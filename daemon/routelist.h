/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Some of a listener's routes, in the file's order: those that one name leads to, or those without
 * a name. Where many of them want a path, those are found by it. Built once, read by all workers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prefixes;
struct route_config;
struct route_query;

struct route_list {
	uint32_t *all; /* numbers of routes */
	size_t n;
	uint32_t *others; /* those without a path, where the rest is in by_path */
	size_t n_others;
	struct prefixes *by_path; /* NULL: they are gone through */
};

/* No route's number. */
#define ROUTE_NONE UINT32_MAX

/* The route, which comes after those that it has. 0 or -ENOMEM. */
int route_list_add(struct route_list *l, uint32_t route);
/* It has all that it will have. `routes` are the listener's. 0 or -ENOMEM. */
int route_list_index(struct route_list *l, const struct route_config *routes);
void route_list_fini(struct route_list *l);

/* Whether a route is for what is asked. */
typedef bool (*route_fits)(const struct route_config *r, const struct route_query *q);

/* The first route that fits, if it is before `best`; else that. `fits` says no to every route whose
 * path the query's does not begin with. */
uint32_t route_list_find(const struct route_list *l, const struct route_config *routes,
			 route_fits fits, const struct route_query *q, uint32_t best);
/* The same where `fits` does not look at paths. */
uint32_t route_list_any(const struct route_list *l, const struct route_config *routes,
			route_fits fits, const struct route_query *q, uint32_t best);

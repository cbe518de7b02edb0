// SPDX-License-Identifier: GPL-2.0-or-later
#include "routelist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "prefixes.h"
#include "routequery.h"

/* So few paths are compared one by one. */
#define FEW 8

/* A list doubles at every power of two. */
static int append(uint32_t **list, size_t *n, uint32_t route)
{
	if ((*n & (*n - 1)) == 0) {
		uint32_t *more = reallocarray(*list, *n ? *n * 2 : 1, sizeof(**list));

		if (!more)
			return -ENOMEM;
		*list = more;
	}
	(*list)[(*n)++] = route;
	return 0;
}

int route_list_add(struct route_list *l, uint32_t route)
{
	return append(&l->all, &l->n, route);
}

/* All that it wants must hold, so any will do. */
static const char *path_of(const struct route_config *r)
{
	for (size_t i = 0; i < r->n_matches; i++)
		if (r->matches[i].kind == MATCH_PATH)
			return r->matches[i].text;
	return NULL;
}

static int split(struct route_list *l, const struct route_config *routes,
		 struct prefix_entry *entries, size_t *n)
{
	int err = 0;

	for (size_t i = 0; !err && i < l->n; i++) {
		const char *path = path_of(&routes[l->all[i]]);

		if (path)
			entries[(*n)++] = (struct prefix_entry){path, strlen(path), l->all[i]};
		else
			err = append(&l->others, &l->n_others, l->all[i]);
	}
	return err;
}

int route_list_index(struct route_list *l, const struct route_config *routes)
{
	struct prefix_entry *entries;
	size_t n = 0;
	int err;

	for (size_t i = 0; i < l->n; i++)
		n += path_of(&routes[l->all[i]]) != NULL;
	if (n <= FEW)
		return 0;
	entries = calloc(n, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	n = 0;
	err = split(l, routes, entries, &n);
	if (!err)
		l->by_path = prefixes_new(entries, n);
	free(entries);
	return err || !l->by_path ? -ENOMEM : 0;
}

void route_list_fini(struct route_list *l)
{
	prefixes_free(l->by_path);
	free(l->others);
	free(l->all);
	*l = (struct route_list){0};
}

static uint32_t first_of(const uint32_t *list, size_t n, const struct route_config *routes,
			 route_fits fits, const struct route_query *q, uint32_t best)
{
	for (size_t i = 0; i < n && list[i] < best; i++)
		if (fits(&routes[list[i]], q))
			return list[i];
	return best;
}

uint32_t route_list_any(const struct route_list *l, const struct route_config *routes,
			route_fits fits, const struct route_query *q, uint32_t best)
{
	return first_of(l->all, l->n, routes, fits, q, best);
}

uint32_t route_list_find(const struct route_list *l, const struct route_config *routes,
			 route_fits fits, const struct route_query *q, uint32_t best)
{
	const struct prefix *p;

	if (!l->by_path)
		return route_list_any(l, routes, fits, q, best);
	best = first_of(l->others, l->n_others, routes, fits, q, best);
	p = q->path ? prefixes_find(l->by_path, q->path, q->path_len) : NULL;
	for (; p && p->least < best; p = p->shorter)
		best = first_of(p->numbers, p->n, routes, fits, q, best);
	return best;
}

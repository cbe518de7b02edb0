// SPDX-License-Identifier: GPL-2.0-or-later
#include "route.h"

#include <string.h>

/* Running out of memory is reported, not the end of the process. */
#define HASH_NONFATAL_OOM          1
#define uthash_nonfatal_oom(entry) ((entry)->key = NULL)
#include <uthash.h>

#include "routelist.h"

/* Routes that one name leads to. */
struct bucket {
	const char *key; /* "sni:NAME", "host:.SUFFIX", ...; owned */
	struct route_list routes;
	UT_hash_handle hh;
};

struct routes {
	const struct route_config *all;
	size_t n;
	struct bucket *buckets;
	struct route_list others; /* routes without a name to look up */
};

/* The longest name, its prefix and the NUL. */
#define KEY_MAX 272

/* ---- building --------------------------------------------------------------------------- */

/* The matcher by which a route is found: the first that is a name. */
static const struct route_match *indexed_by(const struct route_config *r)
{
	for (size_t i = 0; i < r->n_matches; i++) {
		const struct route_match *m = &r->matches[i];

		if ((m->kind == MATCH_SNI || m->kind == MATCH_HOST) && m->host != HOST_ANY)
			return m;
	}
	return NULL;
}

static size_t make_key(char key[KEY_MAX], enum match_kind kind, const char *name)
{
	size_t len = strnlen(name, KEY_MAX - 2);

	key[0] = kind == MATCH_SNI ? 's' : 'h';
	memcpy(key + 1, name, len);
	key[len + 1] = '\0';
	return len + 1;
}

static struct bucket *get_bucket(struct routes *r, const struct route_match *m)
{
	struct bucket *b;
	char key[KEY_MAX];
	size_t len = make_key(key, m->kind, m->text);

	HASH_FIND(hh, r->buckets, key, len, b);
	if (b)
		return b;
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->key = strdup(key);
	if (b->key)
		HASH_ADD_KEYPTR(hh, r->buckets, b->key, len, b);
	if (b->key)
		return b;
	free(b);
	return NULL;
}

static int add_route(struct routes *r, uint32_t i)
{
	const struct route_match *m = indexed_by(&r->all[i]);
	struct bucket *b;

	if (!m)
		return route_list_add(&r->others, i);
	b = get_bucket(r, m);
	return b ? route_list_add(&b->routes, i) : -1;
}

static int add_all(struct routes *r)
{
	struct bucket *b, *next;

	for (size_t i = 0; i < r->n; i++)
		if (add_route(r, (uint32_t)i) < 0)
			return -1;
	HASH_ITER(hh, r->buckets, b, next)
	{
		if (route_list_index(&b->routes, r->all) < 0)
			return -1;
	}
	return route_list_index(&r->others, r->all);
}

struct routes *routes_new(const struct listener_config *config)
{
	struct routes *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->all = config->routes;
	r->n = config->n_routes;
	if (add_all(r) == 0)
		return r;
	routes_free(r);
	return NULL;
}

void routes_free(struct routes *r)
{
	struct bucket *b, *next;

	if (!r)
		return;
	HASH_ITER(hh, r->buckets, b, next)
	{
		HASH_DEL(r->buckets, b);
		free((void *)(uintptr_t)b->key);
		route_list_fini(&b->routes);
		free(b);
	}
	route_list_fini(&r->others);
	free(r);
}

/* ---- matching --------------------------------------------------------------------------- */

static bool host_holds(const struct route_match *m, const char *host)
{
	size_t len, suffix;

	if (!host || !*host)
		return false;
	switch (m->host) {
	case HOST_ANY:
		return true;
	case HOST_EXACT:
		return strcmp(host, m->text) == 0;
	default:
		len = strlen(host);
		suffix = strlen(m->text);
		return len > suffix && strcmp(host + len - suffix, m->text) == 0;
	}
}

static bool alpn_holds(const struct route_match *m, const struct route_query *q)
{
	size_t len = strlen(m->text), at = 0;

	while (q->alpn && at < q->alpn_len) {
		size_t n = (uint8_t)q->alpn[at++];

		if (n == len && at + n <= q->alpn_len && memcmp(q->alpn + at, m->text, n) == 0)
			return true;
		at += n;
	}
	return false;
}

static bool is_port(const struct route_match *m, uint16_t port)
{
	return port >= m->first && port <= m->last;
}

static bool holds(const struct route_match *m, const struct route_query *q)
{
	size_t len;

	switch (m->kind) {
	case MATCH_SNI:
		return host_holds(m, q->sni);
	case MATCH_HOST:
		return host_holds(m, q->host);
	case MATCH_ALPN:
		return alpn_holds(m, q);
	case MATCH_PATH:
		len = strlen(m->text);
		return q->path && q->path_len >= len && memcmp(q->path, m->text, len) == 0;
	case MATCH_METHOD:
		len = strlen(m->text);
		return q->method && q->method_len == len && memcmp(q->method, m->text, len) == 0;
	case MATCH_HEADER:
		return q->header && q->header(q->arg, m->text, m->value);
	case MATCH_SOURCE:
		return q->src && cidr_match(&m->network, q->src);
	case MATCH_DESTINATION:
		return q->dst && cidr_match(&m->network, q->dst);
	case MATCH_PORT:
		return q->dst && is_port(m, addr_port(q->dst));
	default:
		return false;
	}
}

static bool is_connect(const char *method, size_t len)
{
	return len == sizeof("CONNECT") - 1 && memcmp(method, "CONNECT", len) == 0;
}

bool route_is_connect(const struct route_query *q)
{
	return q->method && is_connect(q->method, q->method_len);
}

static bool is_for_connect(const struct route_config *r)
{
	for (size_t i = 0; i < r->n_matches; i++)
		if (r->matches[i].kind == MATCH_METHOD)
			return is_connect(r->matches[i].text, strlen(r->matches[i].text));
	return false;
}

static bool all_hold(const struct route_config *r, const struct route_query *q)
{
	for (size_t i = 0; i < r->n_matches; i++)
		if (!holds(&r->matches[i], q))
			return false;
	return !route_is_connect(q) || is_for_connect(r);
}

/* Whether it is a route for requests to that host, whatever else it asks of them. */
static bool host_fits(const struct route_config *r, const struct route_query *q)
{
	for (size_t i = 0; i < r->n_matches; i++) {
		const struct route_match *m = &r->matches[i];

		if (m->kind == MATCH_SNI || m->kind == MATCH_ALPN)
			return false; /* for TLS only */
		if (m->kind == MATCH_HOST && !host_holds(m, q->host))
			return false;
	}
	return true;
}

/* What is looked for in a list: the first route, or whether there is one. */
typedef uint32_t (*look_fn)(const struct route_list *l, const struct route_config *routes,
			    route_fits fits, const struct route_query *q, uint32_t best);

/* A way to look through lists. */
struct search {
	look_fn look;
	route_fits fits;
	const struct route_query *query;
};

static uint32_t look(const struct routes *r, const struct route_list *l, const struct search *s,
		     uint32_t best)
{
	return s->look(l, r->all, s->fits, s->query, best);
}

/* Looks the name up, and each of its suffixes: a.b.c is a.b.c, .b.c and .c. */
static uint32_t by_name(const struct routes *r, enum match_kind kind, const char *name,
			const struct search *s, uint32_t best)
{
	const char *at = name;
	char key[KEY_MAX];
	struct bucket *b;

	while (at && *at && r->buckets) {
		size_t len = make_key(key, kind, at);

		HASH_FIND(hh, r->buckets, key, len, b);
		if (b)
			best = look(r, &b->routes, s, best);
		at = strchr(at + 1, '.');
	}
	return best;
}

size_t routes_find(const struct routes *r, const struct route_query *q)
{
	const struct search s = {route_list_find, all_hold, q};
	uint32_t best = look(r, &r->others, &s, ROUTE_NONE);

	best = by_name(r, MATCH_SNI, q->sni, &s, best);
	best = by_name(r, MATCH_HOST, q->host, &s, best);
	return best == ROUTE_NONE ? SIZE_MAX : r->all[best].pool_index;
}

bool routes_know_host(const struct routes *r, const char *host)
{
	const struct route_query q = {.host = host};
	const struct search s = {route_list_any, host_fits, &q};
	uint32_t first = look(r, &r->others, &s, ROUTE_NONE);

	return r->n == 0 || by_name(r, MATCH_HOST, host, &s, first) != ROUTE_NONE;
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "pool.h"

#include <string.h>

struct pool *pool_new(const struct pool_config *config)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->config = config;
	p->servers = calloc(config->n_servers ? config->n_servers : 1, sizeof(*p->servers));
	if (!p->servers || pthread_mutex_init(&p->lock, NULL) != 0) {
		free(p->servers);
		free(p);
		return NULL;
	}
	p->n_servers = config->n_servers;
	for (size_t i = 0; i < p->n_servers; i++) {
		struct server *s = &p->servers[i];

		s->config = &config->servers[i];
		s->pool = p;
		if (s->config->endpoint.kind == ENDPOINT_ADDR) {
			s->addrs[0] = s->config->endpoint.addr;
			s->n_addrs = 1;
		}
	}
	return p;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	(void)pthread_mutex_destroy(&p->lock);
	free(p->servers);
	free(p);
}

/* Each address of a server is worth a try. */
static bool was_tried(const struct server *s, const struct tried *t, size_t i)
{
	return i < POOL_MAX_TRIED && t->times[i] >= s->n_addrs;
}

static bool usable(const struct server *s, const struct tried *t, size_t i, bool backup)
{
	const struct server_config *c = s->config;

	return c->backup == backup && s->n_addrs && !was_tried(s, t, i) &&
	       (!c->max_sessions || s->active < c->max_sessions);
}

/* Smooth weighted round robin: weights 2 and 1 give a a b a a b..., never bursts of one server. */
static struct server *next_round_robin(struct pool *p, const struct tried *t, bool backup)
{
	struct server *best = NULL;
	long total = 0;

	for (size_t i = 0; i < p->n_servers; i++) {
		struct server *s = &p->servers[i];

		if (!usable(s, t, i, backup))
			continue;
		s->current_weight += s->config->weight;
		total += s->config->weight;
		if (!best || s->current_weight > best->current_weight)
			best = s;
	}
	if (best)
		best->current_weight -= total;
	return best;
}

/* Fewest sessions for its weight; among equals the one that has served least. */
static struct server *next_least_sessions(struct pool *p, const struct tried *t, bool backup)
{
	struct server *best = NULL;

	for (size_t i = 0; i < p->n_servers; i++) {
		struct server *s = &p->servers[i];
		uint64_t mine, its;

		if (!usable(s, t, i, backup))
			continue;
		if (!best) {
			best = s;
			continue;
		}
		mine = (uint64_t)s->active * best->config->weight;
		its = (uint64_t)best->active * s->config->weight;
		if (mine < its || (mine == its && s->total * best->config->weight <
						      best->total * s->config->weight))
			best = s;
	}
	return best;
}

/* New sessions take turns at the addresses; a retry gets the one after those it has tried, whatever
 * other sessions were given meanwhile. */
static const struct addr *next_address(struct server *s, struct tried *t, size_t i)
{
	size_t at;

	if (i >= POOL_MAX_TRIED)
		return &s->addrs[s->next_addr++ % s->n_addrs];
	if (!t->times[i])
		t->first[i] = (uint8_t)(s->next_addr++ % s->n_addrs);
	at = (size_t)t->first[i] + t->times[i]++;
	return &s->addrs[at % s->n_addrs];
}

struct server *pool_pick(struct pool *p, struct tried *tried, struct addr *where)
{
	struct server *s = NULL;

	(void)pthread_mutex_lock(&p->lock);
	for (int backup = 0; !s && backup < 2; backup++) {
		if (p->config->balance == BALANCE_LEAST_SESSIONS)
			s = next_least_sessions(p, tried, backup);
		else
			s = next_round_robin(p, tried, backup);
	}
	if (s) {
		s->active++;
		s->total++;
		*where = *next_address(s, tried, (size_t)(s - p->servers));
	}
	(void)pthread_mutex_unlock(&p->lock);
	return s;
}

void server_release(struct server *s, bool failed)
{
	(void)pthread_mutex_lock(&s->pool->lock);
	s->active--;
	if (failed)
		s->connect_failures++;
	(void)pthread_mutex_unlock(&s->pool->lock);
}

void server_set_addrs(struct server *s, const struct addr *addrs, size_t n)
{
	n = MIN(n, (size_t)SERVER_MAX_ADDRS);
	(void)pthread_mutex_lock(&s->pool->lock);
	memcpy(s->addrs, addrs, n * sizeof(*addrs));
	s->n_addrs = n;
	s->next_addr = 0;
	(void)pthread_mutex_unlock(&s->pool->lock);
}

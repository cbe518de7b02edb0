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
		if (server_init(&p->servers[i], &config->servers[i], config, &p->lock) < 0) {
			pool_free(p);
			return NULL;
		}
	}
	return p;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_servers; i++)
		server_fini(&p->servers[i]);
	(void)pthread_mutex_destroy(&p->lock);
	free(p->servers);
	free(p);
}

/* Whom a step of the search takes: the server that failed last, or one of all. */
enum among { AMONG_LAST, AMONG_SERVERS, AMONG_BACKUPS };

struct step {
	unsigned int wish; /* WISH_* without which it is left out */
	enum among among;
	enum ejection_rank worst;
};

/* In this order. A hang that is only suspected is no reason to use a backup. */
static const struct step steps[] = {
    {0, AMONG_LAST, RANK_GOOD},
    {0, AMONG_LAST, RANK_DOUBTFUL},
    {WISH_OTHERS, AMONG_SERVERS, RANK_GOOD},
    {WISH_OTHERS, AMONG_SERVERS, RANK_DOUBTFUL},
    {WISH_OTHERS, AMONG_BACKUPS, RANK_GOOD},
    {WISH_OTHERS, AMONG_BACKUPS, RANK_DOUBTFUL},
    {WISH_PASSED, AMONG_LAST, RANK_PASSED_OVER},
    {WISH_PASSED_OTHERS, AMONG_SERVERS, RANK_PASSED_OVER},
    {WISH_PASSED_OTHERS, AMONG_BACKUPS, RANK_PASSED_OVER},
};

struct choice {
	const struct wish *wish;
	const struct step *step;
};

static bool has_room(const struct server *s)
{
	return !s->config->max_sessions || s->active < s->config->max_sessions;
}

/* The addresses of a server that a step of the search takes, as slots. */
static uint64_t candidates(const struct pool *p, const struct server *s, const struct choice *c)
{
	const struct wish *w = c->wish;

	/* A session that has waited for one server that hangs is not the one to try others. */
	return server_candidates(s, w->tried ? w->tried[s - p->servers] : 0, c->step->worst,
				 !w->last, w->now);
}

static bool usable(const struct pool *p, const struct server *s, const struct choice *c)
{
	return s->config->backup == (c->step->among == AMONG_BACKUPS) && has_room(s) &&
	       candidates(p, s, c);
}

/* Smooth weighted round robin: weights 2 and 1 give a a b a a b..., never bursts of one server. */
static struct server *next_round_robin(struct pool *p, const struct choice *c)
{
	struct server *best = NULL;
	long total = 0;

	for (size_t i = 0; i < p->n_servers; i++) {
		struct server *s = &p->servers[i];

		if (!usable(p, s, c))
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
static struct server *next_least_sessions(struct pool *p, const struct choice *c)
{
	struct server *best = NULL;

	for (size_t i = 0; i < p->n_servers; i++) {
		struct server *s = &p->servers[i];
		uint64_t mine, its;

		if (!usable(p, s, c))
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

static struct server *take_step(struct pool *p, const struct choice *c)
{
	struct server *last = c->wish->last;

	if (c->step->among == AMONG_LAST)
		return last && has_room(last) && candidates(p, last, c) ? last : NULL;
	if (p->config->balance == BALANCE_LEAST_SESSIONS)
		return next_least_sessions(p, c);
	return next_round_robin(p, c);
}

struct server *pool_pick(struct pool *p, const struct wish *wish, struct addr *where,
			 struct attempt *attempt)
{
	struct choice c = {.wish = wish};
	struct server *s = NULL;

	(void)pthread_mutex_lock(&p->lock);
	for (size_t i = 0; !s && i < ARRAY_SIZE(steps); i++) {
		c.step = &steps[i];
		if (!steps[i].wish || wish->what & steps[i].wish)
			s = take_step(p, &c);
	}
	if (s)
		server_take(s, candidates(p, s, &c), wish->now, where, attempt);
	(void)pthread_mutex_unlock(&p->lock);
	return s;
}

bool pool_is_awaited(struct pool *p)
{
	bool awaited = false;

	(void)pthread_mutex_lock(&p->lock);
	for (size_t i = 0; !awaited && i < p->n_servers; i++)
		awaited = server_is_awaited(&p->servers[i]);
	(void)pthread_mutex_unlock(&p->lock);
	return awaited;
}

static uint64_t passed_over(const struct server *s)
{
	uint64_t times = 0;

	for (uint64_t rest = s->used; rest; rest &= rest - 1)
		times += s->targets[__builtin_ctzll(rest)].ejection.times;
	return times;
}

void pool_figures(struct pool *p, size_t first, size_t n, struct server_figures *ret)
{
	(void)pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < n; i++) {
		const struct server *s = &p->servers[first + i];

		ret[i] = (struct server_figures){
		    .state = server_state(s),
		    .active = s->active,
		    .total = s->total,
		    .connect_failures = s->connect_failures,
		    .passed_over = passed_over(s),
		    .n_addrs = s->n_addrs,
		};
	}
	(void)pthread_mutex_unlock(&p->lock);
}

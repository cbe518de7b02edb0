// SPDX-License-Identifier: GPL-2.0-or-later
#include "pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How far a turn takes a server of 1/TARGET_WHOLE of weight 1: at 100 000 turns a second the places
 * of one last for decades. */
#define STRIDE (UINT64_C(1) << 24)

/* A pool's servers by their names. */
static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct server *const *)a)->name, (*(struct server *const *)b)->name);
}

static struct server *find(struct server *const *sorted, size_t n, const struct server_config *c)
{
	struct server wanted = {.name = c->name}, *key = &wanted;
	struct server *const *found = n ? bsearch(&key, sorted, n, sizeof(*sorted), by_name) : NULL;

	return found && strcmp((*found)->text, c->text ? c->text : "") == 0 ? *found : NULL;
}

static int fill(struct pool *p, unsigned int n_workers, const struct pool *was)
{
	size_t n = was ? was->n_servers : 0;
	_cleanup_free_ struct server **sorted = calloc(n + 1, sizeof(struct server *));

	if (!sorted)
		return -ENOMEM;
	if (n)
		memcpy(sorted, was->servers, n * sizeof(struct server *));
	qsort(sorted, n, sizeof(struct server *), by_name);
	for (; p->n_servers < p->config->n_servers; p->n_servers++) {
		const struct server_config *c = &p->config->servers[p->n_servers];
		struct server *s = find(sorted, n, c);

		s = s ? server_ref(s) : server_new(c, p->config, p->lock, n_workers);
		if (!s)
			return -ENOMEM;
		p->servers[p->n_servers] = s;
	}
	return 0;
}

struct pool *pool_new(const struct pool_config *config, unsigned int n_workers,
		      const struct pool *was)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->config = config;
	p->lock = was ? pool_lock_ref(was->lock) : pool_lock_new();
	p->servers = calloc(config->n_servers + 1, sizeof(struct server *));
	if (!p->lock || !p->servers || fill(p, n_workers, was) < 0) {
		pool_free(p);
		return NULL;
	}
	return p;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_servers; i++)
		server_unref(p->servers[i]);
	if (p->lock)
		pool_lock_unref(p->lock);
	free(p->servers);
	free(p);
}

void pool_commit(struct pool *p)
{
	for (size_t i = 0; i < p->n_servers; i++) {
		p->servers[i]->newest = p;
		server_update(p->servers[i], &p->config->servers[i], p->config);
	}
}

bool pool_retire(struct pool *was)
{
	bool any = false;

	for (size_t i = 0; i < was->n_servers; i++) {
		if (was->servers[i]->newest != was)
			continue;
		server_remove(was->servers[i]);
		any = true;
	}
	return any;
}

static void lock(struct pool *p)
{
	(void)pthread_mutex_lock(&p->lock->mutex);
}

static void unlock(struct pool *p)
{
	(void)pthread_mutex_unlock(&p->lock->mutex);
}

/* Whom a step of the search takes: the server that failed last, or one of all. */
enum among { AMONG_LAST, AMONG_SERVERS, AMONG_BACKUPS };

struct step {
	unsigned int wish; /* WISH_* without which it is left out */
	enum among among;
	enum health_rank worst;
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

/* No server's number. */
#define NOBODY SIZE_MAX

struct choice {
	const struct wish *wish;
	const struct step *step;
};

/* The addresses of server number `at` that a step of the search takes, as slots. */
static uint64_t candidates(const struct pool *p, size_t at, const struct choice *c)
{
	const struct wish *w = c->wish;

	if (server_is_original(p->servers[at]) && !w->original)
		return 0;
	/* A session that has waited for one server that hangs is not the one to try others. */
	return server_candidates(p->servers[at], w->tried ? w->tried[at] : 0, c->step->worst,
				 !w->last, w->now);
}

static bool usable(const struct pool *p, size_t at, const struct choice *c)
{
	const struct server *s = p->servers[at];

	return s->config.backup == (c->step->among == AMONG_BACKUPS) && server_has_room(s) &&
	       candidates(p, at, c);
}

/* Negative: a has fewer sessions for its weight than b. */
static int compare_load(const struct server *a, const struct server *b, uint64_t now)
{
	uint64_t mine = (uint64_t)a->active * server_share(b, now);
	uint64_t its = (uint64_t)b->active * server_share(a, now);

	return mine < its ? -1 : mine > its;
}

/* Smooth weighted round robin: weights 2 and 1 give a a b a a b..., never bursts of one server. */
static size_t next_round_robin(struct pool *p, const struct choice *c)
{
	size_t best = NOBODY;
	long total = 0;

	for (size_t i = 0; i < p->n_servers; i++) {
		struct server *s = p->servers[i];
		long share;

		if (!usable(p, i, c))
			continue;
		share = server_share(s, c->wish->now);
		s->current_weight += share;
		total += share;
		if (best == NOBODY || s->current_weight > p->servers[best]->current_weight)
			best = i;
	}
	if (best != NOBODY)
		p->servers[best]->current_weight -= total;
	return best;
}

/* Where a server stands in the order of turns. One that was away, or is new, is not owed those that
 * it missed: it would have all sessions for a while. */
static uint64_t place_of(const struct pool *p, const struct server *s)
{
	return MAX(s->place, p->lock->place);
}

/* Fewer sessions for its weight; equals take turns by weight (stride scheduling). */
static bool is_less_busy(const struct pool *p, const struct server *s, const struct server *than,
			 uint64_t now)
{
	int order = compare_load(s, than, now);

	return order < 0 || (order == 0 && place_of(p, s) < place_of(p, than));
}

static size_t next_least_sessions(struct pool *p, const struct choice *c)
{
	uint64_t now = c->wish->now;
	size_t best = NOBODY;

	for (size_t i = 0; i < p->n_servers; i++)
		if (usable(p, i, c) &&
		    (best == NOBODY || is_less_busy(p, p->servers[i], p->servers[best], now)))
			best = i;
	if (best != NOBODY) {
		struct server *s = p->servers[best];

		p->lock->place = place_of(p, s);
		s->place = p->lock->place + STRIDE / server_share(s, now);
	}
	return best;
}

/* The one that failed last, once more. */
static size_t last_again(const struct pool *p, const struct choice *c)
{
	const struct server *last = c->wish->last;
	size_t at = 0;

	if (!last || !server_has_room(last))
		return NOBODY;
	while (at < p->n_servers && p->servers[at] != last)
		at++;
	return at < p->n_servers && candidates(p, at, c) ? at : NOBODY;
}

static size_t take_step(struct pool *p, const struct choice *c)
{
	if (c->step->among == AMONG_LAST)
		return last_again(p, c);
	if (p->config->balance == BALANCE_LEAST_SESSIONS)
		return next_least_sessions(p, c);
	return next_round_robin(p, c);
}

/* Whether one that nothing speaks against has no room just now: its sessions are not for those that
 * are passed over. One that an operator has taken out is as if it were not there. */
static bool somebody_is_full(const struct pool *p, const struct wish *wish)
{
	for (size_t i = 0; i < p->n_servers; i++) {
		const struct server *s = p->servers[i];

		if (s->mode == MODE_READY && (wish->original || !server_is_original(s)) &&
		    server_candidates(s, wish->tried ? wish->tried[i] : 0, RANK_GOOD, false,
				      wish->now))
			return true;
	}
	return false;
}

/* Whether those that are passed over are tried. All others were asked before. */
static bool is_last_resort(const struct pool *p, const struct wish *wish)
{
	return p->config->all_down == ALL_DOWN_TRY && !somebody_is_full(p, wish);
}

static bool is_allowed(const struct pool *p, const struct wish *wish, const struct step *step)
{
	if (step->worst == RANK_PASSED_OVER && !is_last_resort(p, wish))
		return false;
	return !step->wish || wish->what & step->wish;
}

struct server *pool_pick(struct pool *p, const struct wish *wish, struct addr *where,
			 struct attempt *attempt)
{
	struct choice c = {.wish = wish};
	struct server *s = NULL;
	size_t at = NOBODY;

	lock(p);
	for (size_t i = 0; at == NOBODY && i < ARRAY_SIZE(steps); i++) {
		c.step = &steps[i];
		if (is_allowed(p, wish, c.step))
			at = take_step(p, &c);
	}
	if (at != NOBODY) {
		s = p->servers[at];
		server_take(s, candidates(p, at, &c), wish->now, where, attempt);
		attempt->at = (uint32_t)at;
	}
	unlock(p);
	return s;
}

bool pool_has(const struct pool *p, const struct server *s)
{
	for (size_t i = 0; i < p->n_servers; i++)
		if (p->servers[i] == s)
			return true;
	return false;
}

bool pool_has_original(const struct pool *p)
{
	for (size_t i = 0; i < p->n_servers; i++)
		if (server_is_original(p->servers[i]))
			return true;
	return false;
}

bool pool_is_awaited(struct pool *p)
{
	bool awaited = false;

	lock(p);
	for (size_t i = 0; !awaited && i < p->n_servers; i++)
		awaited = server_is_awaited(p->servers[i]);
	unlock(p);
	return awaited;
}

static void add_targets(const struct server *s, struct server_figures *ret)
{
	uint64_t last = 0;

	ret->check_ns = UINT64_MAX;
	for (uint64_t rest = s->used; rest; rest &= rest - 1) {
		const struct health *h = &s->targets[__builtin_ctzll(rest)].health;

		ret->passed_over += h->times;
		if (h->check.at_ns <= last)
			continue;
		last = h->check.at_ns;
		ret->check_ns = h->check.took_ns;
	}
}

void pool_figures(struct pool *p, size_t first, size_t n, struct server_figures *ret)
{
	lock(p);
	for (size_t i = 0; i < n; i++) {
		const struct server *s = p->servers[first + i];

		ret[i] = (struct server_figures){
		    .state = server_state(s),
		    .up = server_is_up(s),
		    .active = s->active,
		    .total = s->total,
		    .connect_failures = s->connect_failures,
		    .n_addrs = s->n_addrs,
		    .weight = s->weight,
		};
		memcpy(ret[i].checks, s->checks, sizeof(s->checks));
		add_targets(s, &ret[i]);
	}
	unlock(p);
}

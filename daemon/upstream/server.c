// SPDX-License-Identifier: GPL-2.0-or-later
#include "server.h"

#include <errno.h>
#include <string.h>

#include "../log.h"

/* ---- life ------------------------------------------------------------------------------- */

struct pool_lock *pool_lock_new(void)
{
	struct pool_lock *l = calloc(1, sizeof(*l));

	if (l && pthread_mutex_init(&l->mutex, NULL) != 0) {
		free(l);
		return NULL;
	}
	if (l)
		l->refs = 1;
	return l;
}

struct pool_lock *pool_lock_ref(struct pool_lock *l)
{
	l->refs++;
	return l;
}

void pool_lock_unref(struct pool_lock *l)
{
	if (--l->refs)
		return;
	(void)pthread_mutex_destroy(&l->mutex);
	free(l);
}

/* What they point to is not the server's. */
static void take_config(struct server *s, const struct server_config *config,
			const struct pool_config *pool)
{
	/* What an operator has said stays, until the file says something else. */
	if (config->weight != s->config.weight)
		s->weight = config->weight;
	s->config = *config;
	s->config.name = s->config.text = s->config.endpoint.host = NULL;
	s->pool = *pool;
	s->pool.name = NULL;
	s->pool.servers = NULL;
	s->pool.health_path = s->pool.health_host = NULL;
	s->pool.n_servers = 0;
	if (server_is_original(s))
		s->pool.health_check = HEALTH_CHECK_NONE;
}

static int alloc_parts(struct server *s, unsigned int n_workers)
{
	s->parts = aligned_alloc(STATS_LINE, n_workers * sizeof(*s->parts));
	if (!s->parts)
		return -ENOMEM;
	memset(s->parts, 0, n_workers * sizeof(*s->parts));
	for (unsigned int i = 0; i < n_workers; i++)
		TAILQ_INIT(&s->parts[i].kept);
	return 0;
}

struct server *server_new(const struct server_config *config, const struct pool_config *pool,
			  struct pool_lock *lock, unsigned int n_workers)
{
	const struct endpoint *e = &config->endpoint;
	struct server *s = aligned_alloc(STATS_LINE, sizeof(*s));

	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->refs = 1;
	s->lock = pool_lock_ref(lock);
	s->name = strdup(config->name);
	s->pool_name = strdup(pool->name);
	s->text = strdup(config->text ? config->text : "");
	s->kind = e->kind;
	s->n_slots = e->kind == ENDPOINT_NAME ? SERVER_MAX_ADDRS : 1;
	s->targets = calloc(s->n_slots, sizeof(*s->targets));
	if (!s->name || !s->pool_name || !s->text || !s->targets || alloc_parts(s, n_workers) < 0) {
		server_unref(s);
		return NULL;
	}
	take_config(s, config, pool);
	for (unsigned int i = 0; i < s->n_slots; i++)
		health_reset(&s->targets[i].health, &s->pool);
	if (e->kind == ENDPOINT_ADDR)
		s->targets[0].addr = e->addr;
	if (e->kind == ENDPOINT_ADDR || server_is_original(s)) {
		s->n_addrs = 1;
		s->used = 1;
	}
	return s;
}

struct server *server_ref(struct server *s)
{
	s->refs++;
	return s;
}

void server_unref(struct server *s)
{
	if (!s || --s->refs)
		return;
	pool_lock_unref(s->lock);
	free(s->targets);
	free(s->parts);
	free(s->name);
	free(s->pool_name);
	free(s->text);
	free(s);
}

static void lock(struct server *s)
{
	(void)pthread_mutex_lock(&s->lock->mutex);
}

static void unlock(struct server *s)
{
	(void)pthread_mutex_unlock(&s->lock->mutex);
}

void server_update(struct server *s, const struct server_config *config,
		   const struct pool_config *pool)
{
	uint64_t fail_timeout;
	bool checked;

	lock(s);
	checked = s->pool.health_check != HEALTH_CHECK_NONE;
	fail_timeout = s->pool.fail_timeout;
	take_config(s, config, pool);
	for (unsigned int i = 0; i < s->n_slots; i++) {
		/* What the last checks have said would stay for ever. */
		if (checked && s->pool.health_check == HEALTH_CHECK_NONE)
			health_restart(&s->targets[i].health, pool);
		else
			health_follow(&s->targets[i].health, &s->pool, fail_timeout);
	}
	unlock(s);
}

void server_remove(struct server *s)
{
	lock(s);
	atomic_store(&s->removed, true);
	/* Whoever keeps a connection to it looks again. */
	s->losses++;
	unlock(s);
}

/* ---- choosing an address ---------------------------------------------------------------- */

uint64_t server_candidates(const struct server *s, uint64_t tried, enum health_rank worst,
			   bool probes, uint64_t now)
{
	uint64_t slots = 0;

	if (server_is_original(s))
		return s->used & ~tried;
	for (uint64_t rest = s->used & ~tried; rest; rest &= rest - 1) {
		unsigned int slot = (unsigned int)__builtin_ctzll(rest);

		if (health_rank(&s->targets[slot].health, &s->pool, probes, now) <= worst)
			slots |= UINT64_C(1) << slot;
	}
	return slots;
}

/* They take turns; one that is new has fewer. */
static unsigned int next_slot(struct server *s, uint64_t candidates, uint64_t now)
{
	uint64_t ahead = candidates & (UINT64_MAX << s->next_slot), span = s->pool.slow_start;
	unsigned int slot;

	if (candidates & (candidates - 1) && target_is_new(s->back_ns, span, now))
		return targets_next(s->targets, candidates, span, now);
	slot = (unsigned int)__builtin_ctzll(ahead ? ahead : candidates);
	s->next_slot = (slot + 1) % s->n_slots;
	return slot;
}

void server_take(struct server *s, uint64_t candidates, uint64_t now, struct addr *where,
		 struct attempt *attempt)
{
	unsigned int slot = next_slot(s, candidates, now);
	struct target *t = &s->targets[slot];

	s->active++;
	s->total++;
	*where = t->addr;
	*attempt = (struct attempt){
	    .began_ns = now,
	    .slot = (uint8_t)slot,
	    .others = (uint8_t)(__builtin_popcountll(candidates) - 1),
	    .probe = !server_is_original(s) && health_asked(&t->health, now),
	    .open = true,
	};
}

/* ---- what became of it ------------------------------------------------------------------ */

/* What is to be logged once the lock is given back. */
struct word {
	struct news news;
	bool named; /* the address is told: the server has several */
};

static void note(struct server *s, const struct target *t, enum health_state was, uint64_t now,
		 struct word *w)
{
	w->named = s->n_addrs > 1;
	news_note(&w->news, &s->quota, &t->health, &s->pool, was, now);
}

static void tell(const struct server *s, const struct addr *where, const struct word *w)
{
	news_tell(&w->news, s->pool_name, s->name, w->named ? where : NULL);
}

/* The address of an attempt or a check, unless the server has lost it meanwhile. */
static struct target *target_of(struct server *s, const struct addr *where, unsigned int slot)
{
	struct target *t = &s->targets[slot];

	return s->used >> slot & 1 && addr_equal(&t->addr, where) ? t : NULL;
}

void server_begin_slowly(struct server *s, struct target *t, uint64_t now)
{
	t->back_ns = s->back_ns = now;
	/* What the others had before is none of its business. */
	for (unsigned int i = 0; i < s->n_slots; i++)
		s->targets[i].turn = 0;
}

void attempt_connected(struct server *s, const struct addr *where, struct attempt *attempt,
		       uint64_t now)
{
	struct word news = {0};
	struct target *t;

	attempt->open = false;
	if (server_is_original(s))
		return;
	/* The usual case needs no lock. (Should the slot have another address by now, it is taken
	 * for one that answers, until it is asked the next time.) */
	if (!attempt->probe && health_answered(&s->targets[attempt->slot].health, now))
		return;
	lock(s);
	t = target_of(s, where, attempt->slot);
	if (t && health_succeeded(&t->health, now)) {
		server_begin_slowly(s, t, now);
		note(s, t, HEALTH_EJECTED, now, &news);
	}
	unlock(s);
	tell(s, where, &news);
}

void attempt_failed(struct server *s, const struct addr *where, struct attempt *attempt, int err,
		    uint64_t now)
{
	struct word news = {0};
	struct target *t;

	lock(s);
	s->active--;
	s->connect_failures++;
	t = attempt->open ? target_of(s, where, attempt->slot) : NULL;
	if (t && health_failed(&t->health, &s->pool, attempt->probe, err, now))
		note(s, t, HEALTH_UP, now, &news);
	unlock(s);
	attempt->open = false;
	tell(s, where, &news);
}

void attempt_spare(struct server *s, const struct addr *where, struct attempt *attempt,
		   uint64_t now)
{
	struct target *t;

	if (!attempt->open)
		return;
	attempt->open = false;
	if (server_is_original(s))
		return;
	/* As above: only what was passed over needs the lock. */
	if (!attempt->probe) {
		health_abandoned(&s->targets[attempt->slot].health, false, attempt->began_ns, now);
		return;
	}
	lock(s);
	t = target_of(s, where, attempt->slot);
	if (t)
		health_abandoned(&t->health, true, attempt->began_ns, now);
	unlock(s);
}

void server_count(struct server *s)
{
	lock(s);
	s->active++;
	s->total++;
	unlock(s);
}

void server_release(struct server *s)
{
	lock(s);
	s->active--;
	unlock(s);
}

/* ---- addresses -------------------------------------------------------------------------- */

static int slot_of(const struct server *s, const struct addr *a)
{
	for (unsigned int i = 0; i < s->n_slots; i++)
		if (s->used >> i & 1 && addr_equal(&s->targets[i].addr, a))
			return (int)i;
	return -1;
}

static void slot_fill(struct server *s, unsigned int slot, const struct addr *a)
{
	struct target *t = &s->targets[slot];

	*t = (struct target){.addr = *a};
	health_reset(&t->health, &s->pool);
	s->used |= UINT64_C(1) << slot;
}

bool server_set_addrs(struct server *s, const struct addr *addrs, size_t n)
{
	uint64_t kept = 0;
	bool lost;

	n = MIN(n, (size_t)s->n_slots);
	lock(s);
	for (size_t i = 0; i < n; i++) {
		int slot = slot_of(s, &addrs[i]);

		if (slot >= 0)
			kept |= UINT64_C(1) << slot;
	}
	lost = kept != s->used;
	if (lost)
		s->losses++;
	s->absent = n == 0;
	s->used = kept;
	for (size_t i = 0; i < n; i++)
		if (slot_of(s, &addrs[i]) < 0)
			slot_fill(s, (unsigned int)__builtin_ctzll(~s->used), &addrs[i]);
	s->n_addrs = (unsigned int)__builtin_popcountll(s->used);
	s->next_slot = 0;
	unlock(s);
	return lost;
}

static bool is_worth_keeping(const struct server *s, const struct addr *where, bool bound)
{
	int slot = server_is_original(s) ? 0 : slot_of(s, where);
	enum health_state state;

	if (s->removed || slot < 0 || s->mode == MODE_MAINT || (s->mode == MODE_DRAIN && !bound))
		return false;
	state = health_state_of(&s->targets[slot].health);
	return state != HEALTH_DOWN && state != HEALTH_RISING;
}

bool server_keeps(struct server *s, const struct addr *where, bool bound, unsigned int *seen)
{
	unsigned int losses = atomic_load(&s->losses) + 1;
	bool keeps;

	if (*seen == losses)
		return true;
	lock(s);
	keeps = is_worth_keeping(s, where, bound);
	unlock(s);
	if (keeps)
		*seen = losses;
	return keeps;
}

bool server_is_awaited(const struct server *s)
{
	return s->kind == ENDPOINT_NAME && !s->used && !s->absent && s->mode == MODE_READY;
}

/* ---- checks ----------------------------------------------------------------------------- */

/* The first of them from `slot` on, all around. */
static unsigned int first_from(uint64_t slots, unsigned int slot)
{
	uint64_t ahead = slot < SERVER_MAX_ADDRS ? slots & (UINT64_MAX << slot) : 0;

	return (unsigned int)__builtin_ctzll(ahead ? ahead : slots);
}

static enum check_hope hope_of(const struct health *h)
{
	enum health_state state = health_state_of(h);

	if (state == HEALTH_UNCHECKED)
		return CHECK_UNKNOWN;
	return state == HEALTH_UP || state == HEALTH_RISING ? CHECK_ANSWERS : CHECK_FAILS;
}

bool server_next_check(struct server *s, uint64_t busy, unsigned int last, struct check_turn *ret)
{
	uint64_t fresh = 0, all;

	lock(s);
	all = s->mode == MODE_MAINT || server_is_original(s) ? 0 : s->used & ~busy;
	for (uint64_t rest = all; rest; rest &= rest - 1) {
		unsigned int slot = (unsigned int)__builtin_ctzll(rest);

		if (health_state_of(&s->targets[slot].health) == HEALTH_UNCHECKED)
			fresh |= UINT64_C(1) << slot;
	}
	if (all) {
		ret->slot = first_from(fresh ? fresh : all, last + 1);
		ret->where = s->targets[ret->slot].addr;
		ret->hope = hope_of(&s->targets[ret->slot].health);
		ret->n_addrs = s->n_addrs;
		ret->more = fresh & ~(UINT64_C(1) << ret->slot);
	}
	unlock(s);
	return all;
}

bool server_checked(struct server *s, const struct check_turn *turn, const struct check_result *r)
{
	struct word news = {0};
	bool down = false;
	struct target *t;

	lock(s);
	s->checks[r->outcome]++;
	t = s->mode == MODE_MAINT ? NULL : target_of(s, &turn->where, turn->slot);
	if (t) {
		enum health_state was = health_state_of(&t->health);
		bool usable = health_is_usable(&t->health);

		if (health_checked(&t->health, &s->pool, r))
			note(s, t, was, r->at_ns, &news);
		if (!usable && health_is_usable(&t->health))
			server_begin_slowly(s, t, r->at_ns);
		down = was != HEALTH_DOWN && health_state_of(&t->health) == HEALTH_DOWN;
	}
	if (down)
		s->losses++;
	unlock(s);
	tell(s, &turn->where, &news);
	return down;
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../conn.h"
#include "../log.h"

/* A server that comes and goes all the time has this many lines in this time. */
#define TELL_MAX    10
#define TELL_PERIOD (10 * NSEC_PER_SEC)

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
	s->config = *config;
	s->config.name = s->config.text = s->config.endpoint.host = NULL;
	s->pool = *pool;
	s->pool.name = NULL;
	s->pool.servers = NULL;
	s->pool.n_servers = 0;
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
	if (e->kind == ENDPOINT_ADDR) {
		s->targets[0].addr = e->addr;
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
	lock(s);
	take_config(s, config, pool);
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

uint64_t server_candidates(const struct server *s, uint64_t tried, enum ejection_rank worst,
			   bool probes, uint64_t now)
{
	uint64_t slots = 0;

	for (uint64_t rest = s->used & ~tried; rest; rest &= rest - 1) {
		unsigned int slot = (unsigned int)__builtin_ctzll(rest);

		if (ejection_rank(&s->targets[slot].ejection, &s->pool, probes, now) <= worst)
			slots |= UINT64_C(1) << slot;
	}
	return slots;
}

void server_take(struct server *s, uint64_t candidates, uint64_t now, struct addr *where,
		 struct attempt *attempt)
{
	/* They take turns. */
	uint64_t ahead = candidates & (UINT64_MAX << s->next_slot);
	unsigned int slot = (unsigned int)__builtin_ctzll(ahead ? ahead : candidates);
	struct target *t = &s->targets[slot];

	s->next_slot = (slot + 1) % s->n_slots;
	s->active++;
	s->total++;
	*where = t->addr;
	*attempt = (struct attempt){
	    .began_ns = now,
	    .slot = (uint8_t)slot,
	    .others = (uint8_t)(__builtin_popcountll(candidates) - 1),
	    .probe = ejection_asked(&t->ejection, now),
	    .open = true,
	};
}

/* ---- what became of it ------------------------------------------------------------------ */

/* What is to be logged once the lock is given back. */
struct news {
	bool any, down;
	unsigned int fails, quiet;
	uint64_t time_ns;
	int err;
	bool named; /* the address is told: the server has several */
};

/* A change of an address that is worth a line, unless there were too many of them. */
static void note(struct server *s, const struct ejection *e, bool down, uint64_t now,
		 struct news *news)
{
	if (!s->told_ns || now - s->told_ns >= TELL_PERIOD) {
		s->told_ns = now;
		s->told = 0;
	}
	if (s->told++ >= TELL_MAX) {
		s->quiet++;
		return;
	}
	*news = (struct news){
	    .any = true,
	    .down = down,
	    .fails = e->fails,
	    .quiet = s->quiet,
	    .time_ns = e->time_ns,
	    .err = e->err,
	    .named = s->n_addrs > 1,
	};
	s->quiet = 0;
}

static void format_time(uint64_t ns, char *buf, size_t size)
{
	if (ns % NSEC_PER_SEC)
		(void)snprintf(buf, size, "%llums", (unsigned long long)(ns / NSEC_PER_MSEC));
	else
		(void)snprintf(buf, size, "%llus", (unsigned long long)(ns / NSEC_PER_SEC));
}

static void tell(const struct server *s, const struct addr *where, const struct news *n)
{
	char text[ADDR_STR_MAX], address[ADDR_STR_MAX + 16] = "", time[32], quiet[64] = "";

	if (!n->any)
		return;
	if (n->named)
		(void)snprintf(address, sizeof(address), " address %s", addr_format(where, text));
	if (n->quiet)
		(void)snprintf(quiet, sizeof(quiet), " (%u changes before were not logged)",
			       n->quiet);
	if (!n->down) {
		log_info("server %s/%s:%s is back%s", s->pool_name, s->name, address, quiet);
		return;
	}
	format_time(n->time_ns, time, sizeof(time));
	log_warn("server %s/%s:%s failed %u time%s (%s), passed over for %s%s", s->pool_name,
		 s->name, address, n->fails, n->fails == 1 ? "" : "s", conn_strerror(n->err), time,
		 quiet);
}

/* The address of an attempt, unless the server has lost it meanwhile. */
static struct target *target_of(struct server *s, const struct addr *where,
				const struct attempt *attempt)
{
	struct target *t = &s->targets[attempt->slot];

	return s->used >> attempt->slot & 1 && addr_equal(&t->addr, where) ? t : NULL;
}

void attempt_connected(struct server *s, const struct addr *where, struct attempt *attempt,
		       uint64_t now)
{
	struct news news = {0};
	struct target *t;

	attempt->open = false;
	/* The usual case needs no lock. (Should the slot have another address by now, it is taken
	 * for one that answers, until it is asked the next time.) */
	if (!attempt->probe && ejection_answered(&s->targets[attempt->slot].ejection, now))
		return;
	lock(s);
	t = target_of(s, where, attempt);
	if (t && ejection_succeeded(&t->ejection, now))
		note(s, &t->ejection, false, now, &news);
	unlock(s);
	tell(s, where, &news);
}

void attempt_failed(struct server *s, const struct addr *where, struct attempt *attempt, int err,
		    uint64_t now)
{
	struct news news = {0};
	struct target *t;

	lock(s);
	s->active--;
	s->connect_failures++;
	t = attempt->open ? target_of(s, where, attempt) : NULL;
	if (t && ejection_failed(&t->ejection, &s->pool, attempt->probe, err, now))
		note(s, &t->ejection, true, now, &news);
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
	/* As above: only what was passed over needs the lock. */
	if (!attempt->probe) {
		ejection_abandoned(&s->targets[attempt->slot].ejection, false, attempt->began_ns,
				   now);
		return;
	}
	lock(s);
	t = target_of(s, where, attempt);
	if (t)
		ejection_abandoned(&t->ejection, true, attempt->began_ns, now);
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

	t->addr = *a;
	ejection_reset(&t->ejection);
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

bool server_has(struct server *s, const struct addr *where, unsigned int *seen)
{
	unsigned int losses = atomic_load(&s->losses) + 1;
	bool has;

	if (*seen == losses)
		return true;
	lock(s);
	has = !s->removed && slot_of(s, where) >= 0;
	unlock(s);
	if (has)
		*seen = losses;
	return has;
}

bool server_is_awaited(const struct server *s)
{
	return s->kind == ENDPOINT_NAME && !s->used && !s->absent;
}

const char *server_state(const struct server *s)
{
	enum ejection_state best = EJECTION_DOWN;

	if (!s->used)
		return "unresolved";
	for (uint64_t rest = s->used; rest; rest &= rest - 1) {
		const struct ejection *e = &s->targets[__builtin_ctzll(rest)].ejection;

		if (e->state == EJECTION_UP)
			return ejection_state_str[EJECTION_UP];
		if (e->state == EJECTION_PROBING)
			best = EJECTION_PROBING;
	}
	return ejection_state_str[best];
}

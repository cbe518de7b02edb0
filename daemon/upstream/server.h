/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server of a pool at run time: where it is, how busy it is, what became of the attempts to
 * connect to it and of checks, and what an operator has said. Shared by all workers; every function
 * may be called from any thread, unless it says otherwise.
 *
 * It lives as long as some configuration has it: the pools of that name, before and after a reload,
 * share it, and with it the lock. What the newest says of a server counts for all of them.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "../addr.h"
#include "../config/config.h"
#include "../stats.h"
#include "health.h"
#include "news.h"
#include "target.h"

/* Of the addresses that a name has, so many are used. */
#define SERVER_MAX_ADDRS 64

struct pool;
struct watched;

TAILQ_HEAD(kept_list, kept);

/* What one worker has of a server. That worker's thread writes it; others may read the counters. */
struct server_part {
	struct server_stats stats;
	/* See idle.h: kept connections, the one used last first. */
	struct kept_list kept;
	unsigned int n_kept;
	/* The server was seen to end one soon after its first answer, without having said so: more
	 * of that is to be expected, until one has served two requests. */
	bool fickle;
};

/* The lock of all pools of one name, and what these share besides servers. */
struct pool_lock {
	pthread_mutex_t mutex;
	unsigned int refs; /* main thread only */
	uint64_t place;    /* of least_sessions: that of the server chosen last */
};

/* What an operator wants. Each may follow each. */
enum server_mode {
	MODE_READY,
	MODE_DRAIN, /* no new sessions; those that are there go on */
	MODE_MAINT, /* the same, and no checks */
	_SERVER_MODE_MAX,
};

struct server {
	char *name, *pool_name;
	char *text; /* the address as written */
	enum endpoint_kind kind;
	struct server_part *parts; /* of each worker */
	struct pool_lock *lock;
	unsigned int refs;         /* pools that have it; main thread only, as is: */
	const struct pool *newest; /* the one among them that was committed last */
	struct watched *watched;   /* see health/; NULL: it is not checked */
	struct {
		struct server_stats stats;
		uint64_t passed_over;
	} reported;          /* see report/totals.h */
	atomic_bool removed; /* the newest configuration does not have it */
	/* Guarded by `lock`. The newest configuration of it and of its pool, without what these
	 * point to: names, lists. */
	struct server_config config;
	struct pool_config pool;
	struct target *targets; /* n_slots of them, for as long as the server lives */
	unsigned int n_slots;   /* SERVER_MAX_ADDRS for a name, else 1 */
	unsigned int n_addrs;   /* slots in use; 0: its name has not resolved yet */
	uint64_t used;          /* a bit for each slot: it has an address */
	bool absent;            /* its name has none, say those who know */
	atomic_uint losses;     /* how often connections became useless: see server_keeps() */
	unsigned int next_slot; /* whose turn it is, while none is new */
	enum server_mode mode;
	bool rested;         /* it was in maint, and has not been ready since */
	unsigned int weight; /* the file's, or what an operator has made it */
	uint64_t back_ns;    /* when one of its addresses last came back; 0: none was ever away */
	long current_weight; /* of smooth weighted round robin */
	uint64_t place;      /* of least_sessions: who is behind goes first */
	unsigned int active; /* sessions dialling or open */
	uint64_t total, connect_failures;
	uint64_t checks[_CHECK_OUTCOME_MAX]; /* how many have ended so */
	struct news_quota quota;
	atomic_uint_fast64_t reported_ns; /* when a failed dial was last logged */
};

/* A session's try to connect to one address. */
struct attempt {
	uint64_t began_ns;
	uint8_t slot;   /* the address's */
	uint8_t others; /* addresses of the server that are as good and were not tried */
	uint32_t at;    /* the server's number in its pool */
	bool probe;     /* it alone tries an address that was passed over */
	bool open;      /* what became of it is not known yet */
};

/*
 * Whether it is wherever the client of the moment wanted to go. It has one slot without an address,
 * nothing that happens at one destination says anything of another one, and it is never checked.
 */
static inline bool server_is_original(const struct server *s)
{
	return s->kind == ENDPOINT_ORIGINAL;
}

/* Whether it is the daemon's own small HTTP server, which is asked from nobody's address. */
static inline bool server_is_internal(const struct server *s)
{
	return s->kind == ENDPOINT_INTERNAL;
}

/* These in the main thread, or where there is no other. */
struct pool_lock *pool_lock_new(void); /* with one reference; NULL: out of memory */
struct pool_lock *pool_lock_ref(struct pool_lock *l);
void pool_lock_unref(struct pool_lock *l);
/* One of a pool, of which it shares the lock, with one reference; it is for so many workers. NULL:
 * out of memory. */
struct server *server_new(const struct server_config *config, const struct pool_config *pool,
			  struct pool_lock *lock, unsigned int n_workers);
struct server *server_ref(struct server *s);
void server_unref(struct server *s); /* NULL is allowed */
/* From now on this is the newest configuration of it. */
void server_update(struct server *s, const struct server_config *config,
		   const struct pool_config *pool);
/* The newest configuration does not have it: connections to it are kept no more. */
void server_remove(struct server *s);

/* Of the addresses whose slots are not in `tried`, those of this rank or a better one: as slots. */
uint64_t server_candidates(const struct server *s, uint64_t tried, enum health_rank worst,
			   bool probes, uint64_t now);
/* Counts a session in that will connect to one of `candidates`. Under the pool's lock, both. */
void server_take(struct server *s, uint64_t candidates, uint64_t now, struct addr *where,
		 struct attempt *attempt);

/* Counts a session in that goes on with a connection to it, without an attempt. */
void server_count(struct server *s);

/* The attempt has succeeded: the server is connected. */
void attempt_connected(struct server *s, const struct addr *where, struct attempt *attempt,
		       uint64_t now);
/* The attempt has failed with `err` (positive errno), and the session counts no longer. */
void attempt_failed(struct server *s, const struct addr *where, struct attempt *attempt, int err,
		    uint64_t now);
/* The attempt is not made, or nobody waits for it any more. The session still counts. */
void attempt_spare(struct server *s, const struct addr *where, struct attempt *attempt,
		   uint64_t now);
/* The session counts no longer. */
void server_release(struct server *s);

/* The server's addresses become these; at most SERVER_MAX_ADDRS are kept, 1 of a server without a
 * name. What is known of those it had already stays. n is 0: its name is known to have none. True:
 * an address that it had has gone. */
bool server_set_addrs(struct server *s, const struct addr *addrs, size_t n);
/*
 * Whether a connection to that address is worth keeping for another session: the server still has
 * it and is not removed, checks have not found it down, and an operator has said nothing against
 * it; one that is `bound` to its client may be kept while it drains. *seen, 0 at first, is the
 * caller's for one address: while nothing has become useless, asking again takes no lock.
 */
bool server_keeps(struct server *s, const struct addr *where, bool bound, unsigned int *seen);
/* Whether its addresses are not known yet, but may be soon. Under the lock. */
bool server_is_awaited(const struct server *s);

/* One of its addresses may be had again: from now on it gets more and more (slow_start). Under the
 * lock. */
void server_begin_slowly(struct server *s, struct target *t, uint64_t now);

/* ---- checks: see health/ */

/* Whose turn it is. */
/* How likely an address is to answer a check: one that does not takes the whole health_timeout. */
enum check_hope { CHECK_ANSWERS, CHECK_UNKNOWN, CHECK_FAILS, _CHECK_HOPE_MAX };

struct check_turn {
	unsigned int slot; /* of that address */
	struct addr where;
	unsigned int n_addrs; /* that are to be checked in one health_interval */
	enum check_hope hope;
	bool more; /* there are others that were never checked */
};
/*
 * The next address to be checked: one that never was, or else the one whose turn it is after that
 * of `last`; none of `busy`, a bit for each slot. False: there is none, or an operator wants none.
 */
bool server_next_check(struct server *s, uint64_t busy, unsigned int last, struct check_turn *ret);
/* A check is over. True: kept connections to the address are useless from now on. */
bool server_checked(struct server *s, const struct check_turn *turn, const struct check_result *r);

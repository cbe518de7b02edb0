/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pools of servers at run time: who is next. Shared by all workers; every function but those that
 * make and free one may be called from any thread. A pool is of one configuration and does not
 * change; its servers, and their lock, are those of the pool of that name before, too.
 */
#pragma once

#include <pthread.h>

#include "server.h"
#include "standing.h"

struct pool {
	const struct pool_config *config;
	struct pool_lock *lock;
	struct server **servers;
	size_t n_servers;
};

/*
 * The configuration must outlive the pool. Of `was`, the pool of that name in the configuration
 * before (NULL: there was none), it takes the servers that are in both: those with the same name
 * and address. What they know of the configuration stays as it was until server_update(). Main
 * thread only. NULL: out of memory.
 */
struct pool *pool_new(const struct pool_config *config, unsigned int n_workers,
		      const struct pool *was);
void pool_free(struct pool *p); /* main thread only; NULL is allowed */
/* Its configuration is the newest, and the servers go by it. Main thread only, as is: */
void pool_commit(struct pool *p);
/* After that of all pools of the newest configuration: those of its servers are removed which none
 * of them has. True: there are some. */
bool pool_retire(struct pool *was);

/* Who a session would take besides those that nothing speaks against. */
enum {
	WISH_OTHERS = 1,        /* another server than `last` */
	WISH_PASSED = 2,        /* addresses of `last` that are passed over, if nobody is left */
	WISH_PASSED_OTHERS = 4, /* the same of other servers */
	WISH_ANY = WISH_OTHERS | WISH_PASSED | WISH_PASSED_OTHERS,
};

struct wish {
	const uint64_t *tried; /* for each server the slots whose addresses have failed; or NULL */
	struct server *last;   /* the one that failed last: its other addresses come first; NULL */
	unsigned int what;     /* WISH_* */
	uint64_t now;          /* monotonic ns */
	bool original;         /* it is known where the client wanted to go */
};

/*
 * Picks a server by the pool's algorithm among those that have an address which was not tried and
 * are below their max_sessions, and that an operator has not taken out. Those that are passed over
 * (see health.h) only when nobody else is left, not even a backup, nor one that is merely at its
 * max_sessions, and where `all_down` says so; backups only when no other is left. Of the server's
 * addresses, those that may be had take turns. Counts the session in, see server_release(), and
 * begins the attempt. NULL: nobody is left.
 */
struct server *pool_pick(struct pool *p, const struct wish *wish, struct addr *where,
			 struct attempt *attempt);
/* Whether the server is one of the pool's. */
bool pool_has(const struct pool *p, const struct server *s);
/* Whether one of them is wherever the client wants to go. */
bool pool_has_original(const struct pool *p);
/* Of one server, at one moment. */
struct server_figures {
	const char *state; /* see server_state() */
	uint64_t active, total, connect_failures, passed_over;
	uint64_t checks[_CHECK_OUTCOME_MAX];
	uint64_t
	    check_ns; /* how long the last check of an address took; UINT64_MAX: there was none */
	unsigned int n_addrs, weight;
	bool up;
};
/* Of `n` servers from `first` on; their sessions wait meanwhile, so of not too many at once. */
void pool_figures(struct pool *p, size_t first, size_t n, struct server_figures *ret);
/* Whether a name of one of its servers is still being looked up. */
bool pool_is_awaited(struct pool *p);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pools of servers at run time: who is next. Shared by all workers; every function may be called
 * from any thread.
 */
#pragma once

#include <pthread.h>

#include "server.h"

struct pool {
	const struct pool_config *config;
	pthread_mutex_t lock;
	struct server *servers;
	size_t n_servers;
};

/* The configuration must outlive the pool. NULL when out of memory. */
struct pool *pool_new(const struct pool_config *config);
void pool_free(struct pool *p);

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
};

/*
 * Picks a server by the pool's algorithm among those that have an address which was not tried and
 * are below their max_sessions. Those that are passed over (see ejection.h) only when nobody else
 * is left, not even a backup; backups only when no other is left. Of the server's addresses, those
 * that may be had take turns. Counts the session in, see server_release(), and begins the attempt.
 * NULL: nobody is left.
 */
struct server *pool_pick(struct pool *p, const struct wish *wish, struct addr *where,
			 struct attempt *attempt);
/* Of one server, at one moment. */
struct server_figures {
	const char *state; /* see server_state() */
	uint64_t active, total, connect_failures, passed_over;
	unsigned int n_addrs;
};
/* Of `n` servers from `first` on; their sessions wait meanwhile, so of not too many at once. */
void pool_figures(struct pool *p, size_t first, size_t n, struct server_figures *ret);
/* Whether a name of one of its servers is still being looked up. */
bool pool_is_awaited(struct pool *p);

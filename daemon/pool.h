/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pools of servers at run time: who is next, how busy each is, and where it is. Shared by all
 * workers; every function may be called from any thread.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "addr.h"
#include "config/config.h"

#define SERVER_MAX_ADDRS 16
#define POOL_MAX_TRIED   64 /* servers a session remembers having tried */

struct server {
	const struct server_config *config;
	struct pool *pool;
	size_t index; /* among all servers of the daemon */
	/* guarded by pool->lock */
	struct addr addrs[SERVER_MAX_ADDRS];
	size_t n_addrs; /* 0: its name has not resolved yet */
	size_t next_addr;
	long current_weight; /* of smooth weighted round robin */
	unsigned int active; /* sessions dialling or open */
	uint64_t total, connect_failures;
	atomic_uint_fast64_t reported_ns; /* when a failed dial was last logged */
};

struct pool {
	const struct pool_config *config;
	pthread_mutex_t lock;
	struct server *servers;
	size_t n_servers;
};

/* The configuration must outlive the pool. NULL when out of memory. */
struct pool *pool_new(const struct pool_config *config);
void pool_free(struct pool *p);

/* What a session has tried of each server, by its index in the pool. */
struct tried {
	uint8_t times[POOL_MAX_TRIED]; /* how many addresses */
	uint8_t first[POOL_MAX_TRIED]; /* index of the first of them; the others follow it */
};

/*
 * Picks a server by the pool's algorithm among those that have an address which was not tried and
 * are below their max_sessions; backups only when no other is left. Counts the session in (see
 * server_release()), marks it tried and copies one of its addresses. NULL: nobody is left.
 */
struct server *pool_pick(struct pool *p, struct tried *tried, struct addr *where);
/* Ends what pool_pick() began; `failed`: the server could not be connected. */
void server_release(struct server *s, bool failed);
/* The server's addresses become these; at most SERVER_MAX_ADDRS are kept. */
void server_set_addrs(struct server *s, const struct addr *addrs, size_t n);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Server connections that nobody uses at the moment: kept after a request for the next one, by the
 * worker that has them, for each server apart. The worker's thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "kept.h"

struct loop;

/* Those of one server, the one used last first. */
struct idle_server {
	struct kept_list conns;
	unsigned int n;
	/* The server was seen to end one soon after its first answer, without having said so: more
	 * of that is to be expected, until one has served two requests. */
	bool fickle;
};

struct idle {
	struct loop *loop;
	struct idle_server *servers; /* by server.index */
	struct kept_list by_age;     /* the one that was not used for longest first */
};

/* For servers with an index below n_servers. 0, or -ENOMEM; idle_fini() is right in either case. */
int idle_init(struct idle *i, struct loop *loop, size_t n_servers);
/* Closes them all. */
void idle_fini(struct idle *i);

/*
 * Keeps a connection whose last response is complete, or closes it: it is the caller's no more.
 * When the server has as many as its pool's `keepalive`, the one unused for longest is closed.
 */
void idle_keep(struct idle *i, struct conn *c);
/*
 * The connection to the server that was used last, the caller's from now on; NULL: there is none.
 * It had not ended a moment ago. With `careful`, for a request that cannot be repeated, a server
 * that is fickle must have shown that it means to keep that connection.
 */
struct conn *idle_take(struct idle *i, const struct server *server, bool careful);
/* A connection that was kept has ended, or turned out to have. */
void idle_note_end(struct idle *i, const struct conn *c);
/* Whether a request that cannot be repeated should not go on it. */
bool idle_is_doubtful(const struct idle *i, const struct kept *k);
/* Closes those whose server has lost the address that they go to. */
void idle_check(struct idle *i);
/* Closes the one that was not used for longest: its descriptor is needed. False: there is none. */
bool idle_give_up(struct idle *i);

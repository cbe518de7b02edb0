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

/* So many rows there are at first, and twice as many each time that there are more connections. */
#define IDLE_ROWS 64

struct idle {
	struct loop *loop;
	unsigned int worker;     /* whose part of each server it uses */
	struct kept_list by_age; /* the one that was not used for longest first */
	size_t n;
	/* Those that will do for the same are in one row, which a hash says, the one used last
	 * first: looking for one does not take longer for those that are other clients'. */
	struct kept_list *rows, few[IDLE_ROWS];
	size_t n_rows; /* a power of two */
	uint64_t seed; /* clients do not choose the rows */
};

void idle_init(struct idle *i, struct loop *loop, unsigned int worker);
/* Closes them all. Allowed on a zeroed one. */
void idle_fini(struct idle *i);

/*
 * Keeps a connection whose last response is complete, or closes it: it is the caller's no more.
 * When the server has as many as `keepalive` of its pool, which is `config`, the one unused for
 * longest is closed.
 */
void idle_keep(struct idle *i, struct conn *c, const struct pool_config *config);
/*
 * The connection to the server that was used last, the caller's from now on; NULL: there is none.
 * Of a server that is wherever the client wants to go: one that goes to `where`. It was made from
 * `from`; NULL: this host's own address.
 * It had not ended a moment ago. With `careful`, for a request that cannot be repeated, it is not
 * doubtful: see kept.h.
 */
struct conn *idle_take(struct idle *i, const struct server *server, const struct addr *where,
		       const struct sender *from, bool careful);
/* A connection that was kept has ended, or turned out to have. */
void idle_note_end(struct idle *i, const struct conn *c);
/* Closes those that are not worth keeping any more: see server_keeps(). */
void idle_check(struct idle *i);
/* Closes the one that was not used for longest: its descriptor is needed. False: there is none. */
bool idle_give_up(struct idle *i);

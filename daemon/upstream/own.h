/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Server connections that a client has for itself: by `reuse = never`, or because it has said on
 * one who it is (NTLM, Negotiate), which then holds for whatever is sent on it. They wait for its
 * next request to the same server, and end with it.
 */
#pragma once

#include <stdbool.h>

#include "kept.h"

struct pool;

struct own {
	struct kept_list conns; /* the one used last first */
	unsigned int n;
};

void own_init(struct own *o);
/* Closes them all; may be called again. */
void own_close(struct own *o);
/* Keeps a server's connection for the client's next request, or closes it: it is the caller's no
 * more. */
void own_keep(struct own *o, struct idle *i, struct conn *c);
/* One to that server, the caller's from now on; NULL: there is none. See idle_take(). */
struct conn *own_take(struct own *o, const struct server *server, const struct addr *where,
		      const struct sender *from, bool careful);
/* The same of any server of the pool, if the client has said on it who it is. */
struct conn *own_take_identified(struct own *o, const struct pool *pool);
/* Closes those that are not worth keeping any more: see server_keeps(). */
void own_check(struct own *o);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A listener, as its sessions know it: what is configured for them, where they may go, and how many
 * there are. How they come is in accept.h.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "addr.h"
#include "config/config.h"

struct daemon;
struct listen_socket;
struct pool;
struct route_query;
struct routes;
struct unix_file;

struct listener {
	const struct listener_config *config;
	struct daemon *daemon;
	size_t index;        /* among those of the daemon */
	struct pool **pools; /* by the routes' numbers */
	struct pool *pool;   /* where no route matches; NULL: refuse */
	struct routes *routes;
	bool tunnels_h2;               /* HTTP/2 is forwarded, not refused */
	struct addr *bound;            /* n_binds addresses with the ports the kernel chose */
	struct unix_file *files;       /* of each bind: the file of a unix socket */
	struct listen_socket *sockets; /* n_binds * n_workers, a worker's next to each other */
	size_t n_sockets;
	uint64_t silence; /* ns for which its sessions may be silent; UINT64_MAX: for ever */
	atomic_uint active;
	atomic_uint_fast64_t total;
};

/* What the configuration says of it. 0 or -ENOMEM after logging; listener_fini() is right in either
 * case. */
int listener_init(struct listener *l, struct daemon *d, struct pool **pools,
		  const struct listener_config *config);
void listener_fini(struct listener *l);
/* Whether `allow` and `deny` let this client in. */
bool listener_allows(const struct listener *l, const struct addr *client);
/* The pool of the first route that matches, or, but for CONNECT, the listener's own; NULL: nothing
 * matches. */
struct pool *listener_route(const struct listener *l, const struct route_query *query);
/* Whether a client that cannot be served is told so, when its request has come. */
bool listener_tells(const struct listener *l);
/* Whether its clients and their servers may be joined, where both are applications of this host. */
bool listener_bypasses(const struct listener *l);
/* The session's end frees its place. */
void listener_session_ended(struct listener *l);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listeners: each address is bound once a worker (SO_REUSEPORT; the kernel spreads the
 * connections, and balance.c evens that out), unix sockets once for all.
 */
#pragma once

#include <event2/event.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "addr.h"
#include "config/config.h"
#include "timer.h"
#include "unixfile.h"

struct daemon;
struct pool;
struct route_query;
struct routes;
struct worker;

/* One listening descriptor of one worker. */
struct listen_socket {
	struct listener *listener;
	struct worker *worker;
	struct event *event;
	struct timer retry; /* while accepting is paused */
	int fd;
	bool paused;
};

struct listener {
	const struct listener_config *config;
	struct daemon *daemon;
	struct pool *pool; /* where no route matches; NULL: refuse */
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

/* Binds and listens, for all workers. Returns 0, or a negative errno after logging the listener,
 * address and call. */
int listener_open(struct listener *l, struct daemon *d, const struct listener_config *config);
/* Closes everything and unlinks unix sockets; the workers must not run. */
void listener_close(struct listener *l);

/* Begin accepting, before the worker's thread runs; stop for good, in that thread or after it. */
int listener_start(struct listener *l, struct worker *w);
void listener_stop(struct listener *l, struct worker *w);
/* Whether `allow` and `deny` let this client in. */
bool listener_allows(const struct listener *l, const struct addr *client);
/* The pool of the first route that matches, or, but for CONNECT, the listener's own; NULL: nothing
 * matches. */
struct pool *listener_route(const struct listener *l, const struct route_query *query);
/* Resets a connection that never becomes a session, and logs that it ended so. Takes `fd`. */
void listener_turn_away(const struct listener *l, int fd, const struct addr *client,
			const char *end, const char *reason);
/* The session's end frees its place. */
void listener_session_ended(struct listener *l);

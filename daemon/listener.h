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
#include "unixfile.h"

struct daemon;
struct worker;

/* One listening descriptor of one worker. */
struct listen_socket {
	struct listener *listener;
	struct worker *worker;
	struct event *event;
	struct event *retry; /* while accepting is paused */
	int fd;
	bool paused;
	bool local; /* bound to a loopback address: what it accepts inherits conn_local_options() */
};

struct listener {
	const struct listener_config *config;
	struct daemon *daemon;
	struct pool *pool;
	struct addr *bound;            /* n_binds addresses with the ports the kernel chose */
	struct unix_file *files;       /* of each bind: the file of a unix socket */
	struct listen_socket *sockets; /* n_binds * n_workers, a worker's next to each other */
	size_t n_sockets;
	atomic_uint active;
	atomic_uint_fast64_t total;
};

/* Binds and listens, for all workers; marks the sockets for sockops. Returns 0, or a negative errno
 * after logging the listener, address and call. */
int listener_open(struct listener *l, struct daemon *d, const struct listener_config *config,
		  struct pool *pool);
/* Closes everything and unlinks unix sockets; the workers must not run. */
void listener_close(struct listener *l);

/* Begin accepting, before the worker's thread runs; stop for good, in that thread or after it. */
int listener_start(struct listener *l, struct worker *w);
void listener_stop(struct listener *l, struct worker *w);
/* The session's end frees its place. */
void listener_session_ended(struct listener *l);

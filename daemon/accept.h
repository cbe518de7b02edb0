/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How clients come: each address of a listener is bound once a worker (SO_REUSEPORT; the kernel
 * spreads the connections, and balance.c evens that out), unix sockets once for all.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "timer.h"

struct addr;
struct daemon;
struct event;
struct listener;
struct listener_config;
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

/* Binds and listens, for all workers. Returns 0, or a negative errno after logging the listener,
 * address and call. */
int accept_open(struct listener *l, struct daemon *d, const struct listener_config *config);
/* Closes everything and unlinks unix sockets; the workers must not run. */
void accept_close(struct listener *l);

/* Begin accepting, before the worker's thread runs; stop for good, in that thread or after it. */
int accept_start(struct listener *l, struct worker *w);
void accept_stop(struct listener *l, struct worker *w);
/* Begins a session with an accepted socket and a place, both of which are taken; where there is no
 * memory for it the client gets a reset. */
void accept_session(struct worker *w, struct listener *l, int fd, uint32_t slot,
		    const struct addr *client, bool denied);

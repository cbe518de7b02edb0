/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One proxied socket: its descriptor, what epoll knows of it, and what the daemon moved by hand. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"

struct session;

enum side { SIDE_CLIENT, SIDE_BACKEND };

struct conn {
	int fd; /* -1: none */
	enum side side;
	bool tcp;       /* not a unix socket */
	bool readable;  /* edge-triggered: true until a read finds nothing */
	bool writable;  /* true until a write finds no room */
	bool fin_seen;  /* EPOLLRDHUP: the peer will send no more */
	bool based;     /* `base` is valid */
	bool failed;    /* it was reset or broke; what it sent before may still be delivered */
	uint32_t armed; /* what epoll watches */
	uint64_t cookie;
	uint64_t sent;     /* bytes the daemon wrote */
	uint64_t received; /* bytes the daemon read */
	uint64_t base;     /* acked + queued of tcp_state that stand for zero written bytes */
	struct session *session;
};

/*
 * Creates a non-blocking socket for `where` and starts connecting: TCP_NODELAY, urgent data in
 * line. Returns the descriptor, or a negative errno; -EINPROGRESS is not an error. `own` may mark
 * the socket before it connects.
 */
int conn_dial(const struct addr *where, int (*own)(void *arg, int fd), void *arg);
/* The options every accepted TCP socket inherits from its listener. 0 or -errno. */
int conn_listen_options(int fd);
/* For a connection over the loopback: no pacing. A hint, so it does not fail. */
void conn_local_options(int fd);
/* SO_ERROR, as a positive errno; 0: none. */
int conn_error(int fd);
/* Closes the descriptor; with `reset` the peer gets RST instead of FIN. */
void conn_close(struct conn *c, bool reset);

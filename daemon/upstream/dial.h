/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A dial: the way to one connection to a server of a pool, one address, one server after the other
 * until one is connected. It is made when that is needed and freed when it is over.
 *
 * All addresses of a server's name are tried before another server is. Servers that nothing speaks
 * against are tried for as long as connect_timeout x (1 + retries) lasts, and one when it is over;
 * of those that are passed over (see health.h) at most 1 + retries, when nobody else is left. A
 * connection to the server whose turn it is that was kept goes before a new one.
 *
 *   NEW         nothing was done yet
 *   CONNECTING  a socket is on its way
 *   WAITING     there is nothing to try it with: this host is short of something, or a unix
 *               socket's backlog of room, or a name of addresses
 *   OVER        the owner was told
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "../sender.h"
#include "../timer.h"
#include "server.h"

struct conn;
struct idle;
struct loop;
struct own;

/* What all dials of a worker have in common. */
struct dialer {
	struct loop *loop;
	struct idle *idle; /* connections of that worker that are kept */
	uint64_t *retries; /* counts tries after the first: see stats.h */
	/* May mark a TCP socket before it connects. */
	void (*mark)(void *arg, int fd, bool bypass);
	/* There is no descriptor left. True: one was given up for this one. */
	bool (*spare_fd)(void *arg);
	void *arg;
	struct dial *last; /* the one freed last: its memory is the next one's */
};
/* Frees what it holds. */
void dialer_fini(struct dialer *dl);

/* What is wanted. */
struct dial_plan {
	struct pool *pool;
	uint64_t silence; /* ns for which the connection may be silent; UINT64_MAX: for ever */
	bool bypass;      /* the server may be joined with the client: see bypass/ */
	bool speaks;      /* the server gets something as soon as it is connected */
	const struct addr *original; /* where the client wanted to go; NULL: nobody knows */
	const struct addr *client;   /* from whose address it is made; NULL: this host's own */
	/* Which kept connections will do. */
	struct own *own; /* these of the client; NULL: none of its own */
	bool idle;       /* those of the worker */
	bool fresh;      /* of either only one on which the client has said who it is */
	bool careful;    /* of those only such as may be used for what cannot be sent again */
};

enum dial_failure {
	DIAL_CONNECT_FAILED, /* a server could not be connected, and nobody else is left */
	DIAL_NO_SERVER,      /* there is none */
	DIAL_LIMIT,          /* this host is short of memory, descriptors or ports */
};

/* What the owner is told, once: one of them, and from within dial_begin() at the earliest. Either
 * may free the dial. */
struct dial_calls {
	/*
	 * The connection is the owner's from now on, and counts as a session of c->server until
	 * server_release(). `err` is not 0: it was made, and has failed since with that error
	 * (positive errno).
	 */
	void (*connected)(void *owner, struct conn *c, int err);
	void (*failed)(void *owner, enum dial_failure why);
};

enum dial_state {
	DIAL_NEW,
	DIAL_CONNECTING,
	DIAL_WAITING,
	DIAL_OVER,
	_DIAL_STATE_MAX,
};

struct dial {
	struct dialer *dialer;
	struct dial_plan plan;
	const struct dial_calls *calls;
	void *owner;
	enum dial_state state;
	struct conn *conn;     /* on its way, or between tries; NULL: none */
	struct server *server; /* whose turn it is, counted in there; NULL: between tries */
	struct addr where;     /* the address of the attempt, or of the last one */
	struct sender from;    /* from which it is made */
	int from_err;          /* why it cannot be: a negative errno; else 0 */
	struct attempt attempt;
	struct timer timer;
	struct server *last; /* the one that failed last; NULL: none has */
	uint64_t *tried;     /* of each server of the pool the slots that failed; NULL: none */
	uint64_t until_ns;   /* another server is tried until then */
	uint64_t waiting_ns; /* WAITING: since when, however often it has looked; else 0 */
	uint64_t pause_ns;   /* WAITING: how long until the next look */
	uint32_t retries_left;
	bool overtime; /* the one try after `until_ns` was made */
	bool failed;   /* a server could not be connected */
	bool extended; /* this try has got more time, because the loop was late: once */
	bool portless; /* this host had no port for a connection to one */
};

/* One that has not begun. NULL: out of memory. */
struct dial *dial_new(struct dialer *dl, const struct dial_plan *plan,
		      const struct dial_calls *calls, void *owner);
/* Begins. The owner may be told at once. */
void dial_begin(struct dial *d);
/* Nothing more is tried, and nobody told; what it knows stays as it is. Its owner has ended, and
 * will free it. NULL is none. */
void dial_halt(struct dial *d);
/* Frees it, and ends it if it is not over: nobody is told. A socket that is on its way is reset,
 * for nothing was sent on it. NULL is none. */
void dial_free(struct dial *d);

bool dial_may_enter(enum dial_state from, enum dial_state next);

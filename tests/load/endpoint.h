/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One end of a session: a socket, what it sends and what it expects. An endpoint is stepped when
 * its socket is ready or its pause is over; it never blocks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "options.h"
#include "pattern.h"

#define IDLE_BYTES 64u /* what an idle session exchanges before `go` */

struct run;

enum ending {
	END_OPEN,       /* not yet */
	END_EOF,        /* both streams ended */
	END_CLOSED,     /* we closed, having sent and received everything (half-close none) */
	END_RST,        /* the other end reset the connection */
	END_RESET_SENT, /* we did */
	END_REFUSED,    /* never connected */
	END_TIMEOUT,
	END_ERROR, /* any other errno, in `err` */
	_END_MAX
};

extern const char *const ending_str[_END_MAX];

struct tx {
	struct pattern pattern;
	bool known; /* which stream it is: a server may have to wait for the client's head */
	bool dead;  /* a write failed: what is left is never sent */
	bool fin;   /* shut down */
	uint64_t total, sent;
	uint64_t not_before; /* in a pause */
};

struct rx {
	struct pattern pattern;
	bool known;  /* from the head */
	bool broken; /* differed once: the rest is counted, not compared */
	bool eof;
	bool slept; /* --sleep-reader had its sleep */
	uint64_t total, received, verified;
	uint64_t not_before;
	uint64_t started; /* when the first byte could have been read */
	uint8_t head[PATTERN_HEAD];
};

struct endpoint {
	enum side side;
	int fd; /* -1: not open, or closed again */
	bool connecting;
	uint32_t number;        /* client: the session; server: the order of accept */
	struct endpoint *other; /* the other end of the session, once known */
	struct tx tx;
	struct rx rx;
	enum ending ending;
	int err;         /* the errno of the first failure */
	uint32_t events; /* registered with epoll; 0: not in it */
	bool sleeping;   /* on run.sleepers */
	TAILQ_ENTRY(endpoint) sleeper;
};

TAILQ_HEAD(endpoint_list, endpoint);

/* Prepares an endpoint that is not connected. */
void endpoint_init(struct endpoint *ep, struct run *run, enum side side, uint32_t number);
/* Gives it a socket, whose options it sets; it is then stepped by events. */
void endpoint_attach(struct endpoint *ep, struct run *run, int fd, bool connecting);
/* Moves what can be moved now. `revents` of epoll, or 0 when a pause is over. */
void endpoint_step(struct endpoint *ep, struct run *run, uint32_t revents);
/* The earliest moment at which a pause ends that holds it up, or UINT64_MAX. */
uint64_t endpoint_wake_time(const struct endpoint *ep);
/* Ends it, once: closes the socket (with a reset for END_RESET_SENT) and tells the run. */
void endpoint_end(struct endpoint *ep, struct run *run, enum ending ending, int err);

/* reader.c: how many bytes may be read now (0: leave the socket alone); reading; the head. */
uint64_t reader_allowance(const struct endpoint *ep, const struct run *run, uint64_t now);
void reader_run(struct endpoint *ep, struct run *run);

/* writer.c: how many bytes may be written now; writing; ending the stream. */
uint64_t writer_allowance(const struct endpoint *ep, const struct run *run, uint64_t now);
void writer_run(struct endpoint *ep, struct run *run);

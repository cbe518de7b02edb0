/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dialling a session's backend: one address, one server after the other until one is connected.
 *
 * All addresses of a server's name are tried before another server is. Servers that nothing speaks
 * against are tried for as long as connect_timeout x (1 + retries) lasts, and one when it is over;
 * of those that are passed over (see ejection.h) at most 1 + retries, when nobody else is left.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server.h"

struct session;

/* How far a session has got with it. */
struct dial {
	struct attempt attempt; /* to reach the session's `backend` */
	struct server *last;    /* the one that failed last; NULL: none has */
	uint64_t *tried;        /* of each server of the pool the slots that failed; NULL: none */
	uint64_t until_ns;      /* another server is tried until then */
	uint64_t waits_ns; /* since when it waits before it tries the same again; 0: it does not */
	uint64_t pause_ns; /* how long until then */
	uint16_t retries_left;
	bool overtime; /* the one try after `until_ns` was made */
	bool failed;   /* a server could not be connected */
	bool limited;  /* this host had no port for a connection to one */
};

/* Starts with the next server of the session's pool; ends the session when none is left. */
void dial(struct session *s);
/* The backend socket has become writable, without an error. */
void dial_connected(struct session *s);
/* The backend socket has an error (positive errno) before it was told to be connected. True: it
 * never was, and the next is tried. False: it was, and is now: the error is the connection's. */
bool dial_error(struct session *s, int err);
/* The time of session_dial_timeout() is up: this try has failed; or, when there was nothing to try
 * it with, the next look. */
void dial_timeout(struct session *s);
/* The session needs its server, or what it was about to become, no more. */
void dial_release(struct session *s);

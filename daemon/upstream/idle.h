/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Server connections that no session uses at the moment: kept after an HTTP request for the next
 * one, by the worker that has them, for each server apart. The worker's thread only.
 */
#pragma once

#include <stdbool.h>

#include "../conn.h"

struct worker;

/* The kept connections of one server, the one used last first. */
struct idle_list {
	struct conn_list conns;
	unsigned int n;
	/* The server was seen to end one soon after its first answer, without having said so: more
	 * of that is to be expected, until one has served two requests. */
	bool fickle;
};

/* 0, or -ENOMEM. */
int idle_init(struct worker *w);
/* Closes them all. */
void idle_fini(struct worker *w);

/*
 * Keeps a connection whose last response is complete: it belongs to the worker from now on. When
 * the server has as many as its pool's `keepalive`, the one unused for longest is closed.
 */
void idle_keep(struct worker *w, struct conn *c);
/*
 * The connection to the server that was used last, the caller's from now on; NULL: there is none.
 * It had not ended a moment ago. With `careful`, for a request that cannot be repeated, a server
 * that is fickle must have shown that it means to keep that connection.
 */
struct conn *idle_take(struct worker *w, const struct server *server, bool careful);
/* A connection of the server that was kept has ended, or turned out to have. */
void idle_note_end(struct worker *w, const struct conn *c);
/* Whether a request that cannot be repeated should not go on it. */
bool idle_is_doubtful(struct worker *w, const struct conn *c);
/* Closes those, idle ones of clients too, whose server has lost the address that they go to. */
void idle_check(struct worker *w);
/* Closes the one that was not used for longest: its descriptor is needed. False: there is none. */
bool idle_give_up(struct worker *w);
/* epoll reports `events` for a kept connection: whatever it is but room to write, it ends it. */
void idle_event(struct conn *c, uint32_t events);

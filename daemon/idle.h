/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Server connections that no session uses at the moment: kept after an HTTP request for the next
 * one, by the worker that has them, for each server apart. The worker's thread only.
 */
#pragma once

#include <stdbool.h>

#include "conn.h"

struct worker;

/* The kept connections of one server, the one used last first. */
struct idle_list {
	struct conn_list conns;
	unsigned int n;
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
/* The connection to the server that was used last, the caller's from now on; NULL: there is none.
 */
struct conn *idle_take(struct worker *w, const struct server *server);
/* Closes the one that was not used for longest: its descriptor is needed. False: there is none. */
bool idle_give_up(struct worker *w);
/* epoll reports `events` for a kept connection: whatever it is but room to write, it ends it. */
void idle_event(struct conn *c, uint32_t events);

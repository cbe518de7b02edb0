/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the servers of the pools get their addresses from that have none in the file: names are
 * resolved in the main thread, whatever comes of it, and internal:hello is started.
 */
#pragma once

#include <sys/queue.h>

#include "addr.h"

struct daemon;
struct event_base;
struct internal;
struct named_server;
struct resolver;
struct setup;

struct addresses {
	struct daemon *daemon;
	struct event_base *base;
	struct resolver *resolver; /* NULL: no server has a name */
	LIST_HEAD(, named_server) named;
	struct internal *internal; /* NULL: no pool wants it */
	struct addr internal_at;
};

/* Begins, with one that is all zero. 0 or a negative errno after logging; addresses_stop() is right
 * in either case. */
int addresses_start(struct addresses *a, struct daemon *d, struct event_base *base);
/* The same for servers that this setup, which is not the newest yet, has and none before it.
 * addresses_undo() is right in either case, where it will not be. */
int addresses_add(struct addresses *a, const struct setup *s);
void addresses_undo(struct addresses *a);
/* Names of servers that are removed are looked up no more. */
void addresses_retire(struct addresses *a);
/* After the workers have ended. */
void addresses_stop(struct addresses *a);

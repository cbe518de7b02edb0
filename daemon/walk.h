/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A walk through the sessions of a home, some of them in a turn, so that those that are served
 * meanwhile wait for none of it, however many there are. Those that begin meanwhile may be left
 * out, those that end are.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "loop.h"

struct home;
struct session;

struct walk {
	void (*visit)(struct session *s); /* may end it */
	void (*over)(struct walk *w);     /* all were visited; NULL: nobody waits for it */
	struct home *home;
	struct session *next; /* NULL: none is left */
	uint32_t rest;        /* sessions to be visited yet, at most */
	bool under_way;
	bool again; /* another one was asked for */
	struct task task;
	LIST_ENTRY(walk) link;
};

/* One of the home's; `visit` and `over` are the caller's to set. */
void walk_init(struct walk *w, struct home *home);
/* Begins in the next turn, or, where one is under way, another one after it. */
void walk_begin(struct walk *w);
/* The session is about to leave the list. */
void walks_pass_over(struct home *home, const struct session *s);

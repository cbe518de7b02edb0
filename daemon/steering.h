/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is steered to listeners: their `bind = steer:...` at run time. Whose rules count, of all
 * worker processes, is settled when one serves. Main thread only, but for steering_original().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "addr.h"

struct config;
struct link;
struct setup;
struct steering;

/* Whether some listener gets what is steered. */
bool steering_is_wanted(const struct config *c);
/*
 * Loads and attaches; nothing is steered yet. Needs privileges, and the mark on the daemon's own
 * sockets (see intercept/mark.h), by which its connects are known. What an earlier worker process
 * has left with the parent is taken over, and left for later ones. 0, or a negative errno and a
 * sentence in `why`.
 */
int steering_open(struct link *link, struct steering **ret, char why[256]);
/* Tells that it cannot be, where it is configured. */
void steering_refuse(const struct config *c, const char *why);
void steering_close(struct steering *st); /* NULL is allowed */
/* The daemon listens there, too, as long as this process lives. 0 or -ENOMEM. NULL is allowed. */
int steering_except(struct steering *st, const struct addr *bound);
/*
 * What this setup wants, whose sockets listen; nothing is changed before steering_commit(). 0, or a
 * negative errno and a line in `errors`, with the file's name: what it needs is not there, or, with
 * `st` NULL, was given up.
 */
int steering_prepare(struct steering *st, const struct setup *s, FILE *errors);
/* What was prepared counts. NULL is allowed. */
void steering_commit(struct steering *st);
/* From now on this process steers, and none before it. 0 or a negative errno, which is logged. NULL
 * is allowed. */
int steering_serve(struct steering *st);
/* This process steers no more, for good; where no other one does, connections go where they would
 * without. NULL is allowed. */
void steering_end(struct steering *st);

/* Where the client of a connection that was steered wanted to go; the caller frees it. NULL: out of
 * memory. Any thread. */
struct addr *steering_original(int fd);

/* For reports. */
struct steering_figures {
	bool active;
	uint64_t steered, own, missed, unkept;
};
/* False: nothing is steered. */
bool steering_figures(const struct steering *st, struct steering_figures *ret);

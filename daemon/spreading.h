/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which worker gets a client: the kernel says so by a hash of the addresses, or, for the sockets
 * that it was given here, a program by how many sessions each has. What that gets wrong, or where
 * it is not there, balance.c evens out. Main thread only.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct binding;
struct config;
struct setup;
struct spread_worker;
struct spreading;

/* Whether this configuration wants it, with so many workers. */
bool spreading_is_wanted(const struct config *c, unsigned int n_workers);
/* Loads the program. Needs privileges. 0, or a negative errno and a sentence in `why`. */
int spreading_open(const struct config *c, unsigned int n_workers, struct spreading **ret,
		   char why[256]);
/* The workers have ended. NULL is allowed. */
void spreading_close(struct spreading *st);
/* What the program knows of a worker; NULL without `st`. */
struct spread_worker *spreading_worker(struct spreading *st, unsigned int worker);
/* The sockets of the newest setup, all of which listen and are this process's, go by what it says,
 * whoever had them before. `st` may be NULL: by the hash. What fails is logged, and the hash does
 * it. */
void spreading_follow(struct spreading *st, const struct setup *s);
/* No worker has the setup any more: what of it is not in the newest is forgotten. NULL is allowed.
 */
void spreading_retire(struct spreading *st, const struct setup *was);
/* The workers accept no more: what comes goes by the hash. NULL is allowed. */
void spreading_end(struct spreading *st);

/* For reports. */
struct spreading_figures {
	bool by_sessions;
	uint64_t chosen; /* connections for which the program has chosen a worker */
	uint64_t missed; /* ... for which its choice was none */
};
void spreading_figures(const struct spreading *st, struct spreading_figures *ret);

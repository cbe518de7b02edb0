/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A setup: one configuration, and what is made of it for sessions: listeners with their routes, and
 * pools. It does not change once a worker has it; a reload makes another one. A session goes by the
 * one that it began with, but for HTTP, which goes on with the newest from request to request
 * (http/follow.c), and counts as a reference to it; the last reference gone, the main thread frees
 * it.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "mailbox.h"

struct config;
struct home;
struct listener;
struct pool;
struct setups;

/* What one worker counts of a setup, in its thread: the sessions that go by it. While there are
 * some, or it is the worker's newest, the worker has one reference. */
struct setup_part {
	unsigned int sessions;
} __attribute__((aligned(64)));

struct setup {
	const struct config *config;
	struct pool **pools;
	struct listener *listeners;
	size_t n_pools, n_listeners, n_servers;
	bool lost_servers;        /* the setup before had a server that this one has not */
	struct setup_part *parts; /* of each worker */
	struct setups *all;
	uint64_t number; /* counted from 1 */
	atomic_uint refs;
	struct letter over; /* to the main thread, when there are none */
	bool is_over;       /* it has come */
	LIST_ENTRY(setup) link;
};

/* All that there are. Main thread only. */
struct setups {
	LIST_HEAD(, setup) list;
	struct mailbox *mail; /* of the main thread; NULL: they stay until setups_fini() */
	unsigned int pins;
	uint64_t made; /* since the start */
};

/*
 * Takes the configuration, which it frees when that is over or when it fails. Of `was`, the newest
 * one before (NULL: there is none), it takes what goes on: see pool_new() and listener_init(); what
 * those know of their configuration stays as it was until setup_commit(). The caller has the one
 * reference. Main thread only. NULL: out of memory.
 */
struct setup *setup_new(struct setups *all, struct config *config, unsigned int n_workers,
			const struct setup *was);
/* It will not be: frees it. */
void setup_drop(struct setup *s);
/* It is the newest now: what it shares with `was` goes by it, and servers that it does not have are
 * removed. */
void setup_commit(struct setup *s, const struct setup *was);
/* Any thread, both. */
struct setup *setup_ref(struct setup *s);
void setup_unref(struct setup *s);

/* A session of that worker goes by it; no more. */
void setup_join(struct setup *s, struct home *home);
void setup_leave(struct setup *s, struct home *home);
/* It becomes the worker's newest, which takes the reference; the one before it goes. In the
 * worker's thread, or before that runs: then there is none before. */
void setup_adopt(struct setup *s, struct home *home);

/* How many there are: the newest, and those before it that somebody still has. */
unsigned int setups_count(const struct setups *all);
/* Until the pins are out none is freed: somebody has what was read of them. */
void setups_pin(struct setups *all);
void setups_unpin(struct setups *all);
/* Frees them all: nobody has one. */
void setups_fini(struct setups *all);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the workers share, and their life from set-up to the last session. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "memory.h"
#include "memorywatch.h"
#include "slots.h"
#include "splice/settings.h"

struct bypass_maps;
struct config;
struct listener;
struct maps;
struct pool;
struct session;
struct tally;
struct worker;

struct daemon {
	const struct config *config;
	struct maps *maps;          /* NULL: the kernel engine is off */
	struct bypass_maps *bypass; /* NULL: there is no bypass */
	struct pool **pools;
	struct listener *listeners;
	size_t n_pools, n_listeners, n_servers;
	struct worker *workers;
	unsigned int n_workers;
	struct slots slots;
	struct memory memory;
	struct memory_watch memory_watch;
	struct tally *tally;          /* NULL: nobody asks for one */
	atomic_uint_fast64_t last_id; /* of sessions and requests */
	atomic_bool access_log, log_empty;
	atomic_bool told_unmarked; /* that sockets cannot be marked: see daemon_own() */
	atomic_bool draining;
	uint64_t started_ns;
	uint64_t instance;               /* random: makes ids of this run unlike those of another */
	uint32_t debug;                  /* enum splice_debug */
	struct splice_settings settings; /* of new sessions */
};

/*
 * Has sockops put a listening or not yet connected TCP socket into `sockets` as soon as it is
 * established, but only where sessions go to the kernel at once: a socket in a sockhash costs its
 * set-up and above all its close much more than the session of a short-lived client is worth (half
 * of the connections a second), so with engage_after the daemon adds those that live long enough.
 * The mark alone has its price, too. Where the kernel has no room for the mark (optmem_max), which
 * is said once, the daemon adds the sockets as it does with engage_after.
 */
void daemon_own(struct daemon *d, int fd);

/*
 * Fills in what every set of workers needs: pools, slots and workers for d->config, which the
 * caller has set together with d->maps and d->debug. Nothing listens yet. 0 or a negative errno
 * after logging; daemon_fini() is right in either case.
 */
int daemon_init(struct daemon *d, unsigned int n_workers);
/* Opens the listeners of d->config. 0 or a negative errno after logging. */
int daemon_listen(struct daemon *d);
/* Sets the workers up and starts their threads. */
int daemon_start(struct daemon *d);
/* Ends the threads, then all sessions, then frees everything; not the config and the maps. */
void daemon_fini(struct daemon *d);

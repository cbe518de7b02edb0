/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the workers share, and their life from set-up to the last session. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "memory.h"
#include "memorywatch.h"
#include "setup.h"
#include "slots.h"
#include "splice/settings.h"

struct bypass_maps;
struct checks;
struct config;
struct interception;
struct link;
struct maps;
struct mark;
struct session;
struct spreading;
struct standings;
struct steering;
struct tally;
struct worker;

struct daemon {
	const struct config *config; /* the newest setup's; main thread only */
	struct setup *setup;         /* the newest; main thread only */
	struct setup *retiring;     /* that before it, while workers may have it; NULL: none does */
	struct setups setups;       /* all of them */
	struct link *link;          /* to the parent; NULL: there is none */
	struct maps *maps;          /* NULL: the kernel engine is off */
	struct bypass_maps *bypass; /* NULL: there is no bypass */
	struct interception *interception; /* NULL: nothing is to be intercepted */
	struct steering *steering;         /* NULL: nothing is steered */
	struct spreading *spreading;       /* NULL: the kernel's hash chooses workers */
	struct mark *mark;                 /* of its sockets; NULL: others may intercept them */
	struct worker *workers;
	unsigned int n_workers;
	struct slots slots;
	struct memory memory;
	struct memory_watch memory_watch;
	struct tally *tally;          /* NULL: nobody asks for one */
	struct checks *checks;        /* of servers; NULL: they have not begun */
	struct standings *standings;  /* see standings.h; NULL: this process has left none */
	atomic_uint_fast64_t last_id; /* of sessions and requests */
	atomic_bool access_log, log_empty;
	atomic_bool told_unmarked; /* that sockets cannot be marked: see daemon_own() */
	atomic_bool serving;       /* the workers accept */
	atomic_bool draining;
	atomic_bool steers_still; /* it makes way, and steers until the other process serves */
	bool handing_over;        /* ... because another worker process will accept */
	bool sends_for_clients;   /* it has kept what `source = client` takes */
	uint64_t drain_due_ns; /* it was told to end, and will be then; 0: not. Main thread only */
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
 * Fills in what every set of workers needs: the setup of the configuration, which it takes in any
 * case, slots and workers. The caller has set d->maps, d->debug and d->setups.mail. Nothing listens
 * yet. 0 or a negative errno after logging; daemon_fini() is right in either case.
 */
int daemon_init(struct daemon *d, struct config *config, unsigned int n_workers);
/* Has the addresses of a setup's listeners bound: see bindings_open(). */
int daemon_bind(struct daemon *d, struct setup *s, FILE *errors);
/* They go by that setup: see bindings_commit(). */
void daemon_commit_bindings(struct daemon *d, struct setup *s, struct setup *was);
/* Opens the listeners of the setup. 0 or a negative errno after logging. */
int daemon_listen(struct daemon *d);
/* Sets the workers up and starts their threads. They accept nothing yet. */
int daemon_start(struct daemon *d);
/* Has them accept, all at once. 0, or a negative errno after logging: then they do not. */
int daemon_serve(struct daemon *d);
/*
 * Undoes daemon_own() for the listening sockets, and what marks them for the bypass: clients that
 * connect from now on are another process's. Whether any had such a mark.
 */
bool daemon_disown(struct daemon *d);
/* The same of one listening socket. Any thread. */
bool daemon_disown_socket(struct daemon *d, int fd);
/* It was told to end or to make way, whether it drains already or will. Main thread only. */
bool daemon_is_ending(const struct daemon *d);
/* How long it takes at most from there on, in ns, with this configuration. */
uint64_t daemon_drain_ns(const struct config *c);
/* Ends the threads, then all sessions, then frees everything but the maps. */
void daemon_fini(struct daemon *d);

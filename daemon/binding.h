/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The addresses of listeners: each is bound once a worker (SO_REUSEPORT), unix sockets once for
 * all. One that is bound stays so over reloads for as long as some listener has it, whatever that
 * is called: a binding is the newest setup's. All of this is the main thread's.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "addr.h"
#include "timer.h"
#include "unixfile.h"

struct bypass_maps;
struct daemon;
struct event;
struct listener;
struct setup;
struct worker;

/* One listening descriptor of one worker; that thread's, as soon as it has it. */
struct listen_socket {
	struct binding *binding;
	struct listener *listener; /* of the worker's setup */
	struct worker *worker;
	struct event *event;
	struct timer retry; /* while accepting is paused */
	int fd;             /* -1: closed */
	bool begun;         /* the worker has it */
	bool paused;
};

struct binding {
	struct addr wanted; /* as the file has it */
	struct addr bound;  /* with the port that the kernel chose */
	struct unix_file file;
	bool ipv6_only;
	bool taken;                    /* by the setup that is being made */
	const struct listener *newest; /* of the newest setup, that has it; NULL: none */
	unsigned int n_sockets;
	struct listen_socket sockets[]; /* one for each worker */
};

/* For whom addresses are bound. */
struct binder {
	struct daemon *daemon;
	unsigned int n_workers;
	void (*own)(struct daemon *d, int fd); /* see daemon_own() */
	const struct bypass_maps *bypass;      /* NULL: there is none */
	FILE *errors; /* each mistake is a line, with the file's name and the listener's line */
};

/*
 * Fills in the bindings of the setup's listeners: those of `was`, the newest setup (NULL: there is
 * none), that have the address, or new ones. Nobody accepts there yet. 0, or a negative errno, and
 * what was bound anew is closed.
 */
int bindings_open(const struct binder *by, struct setup *s, const struct setup *was);
/* Closes what bindings_open() has bound anew: the setup will not be. */
void bindings_undo(struct setup *s);
/* The setup is the newest: the sockets that it has of `was` go by it. Before a worker adopts it. */
void bindings_commit(struct setup *s, struct setup *was);
/* When all workers have adopted the newest: frees what of this one is not in that. */
void bindings_retire(struct setup *was);
/* Closes all of the newest; the workers must not run. */
void bindings_close(struct setup *s);

/* Tells the log where the newest setup's listeners are. */
void bindings_say(const struct setup *s);

/* Whether the newest setup has it. By a worker, too, while it adopts that. */
bool binding_is_current(const struct binding *b);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The addresses of listeners: each is bound once a worker (SO_REUSEPORT), unix sockets once for
 * all; those that the service manager passes are as many as it says. What is steered to a listener
 * comes to the sockets of its first range, and the others have none. The sockets are the parent's,
 * which gives them to one worker process after the other: there may be more of an address than
 * worker threads now, and each of them is somebody's. One that is bound stays so over reloads for
 * as long as some listener has it, whatever that is called: a binding is the newest setup's. All of
 * this is the main thread's.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "addr.h"
#include "parent/bound.h"
#include "timer.h"
#include "unixfile.h"

struct bypass_maps;
struct daemon;
struct event;
struct link;
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
	struct addr bound;  /* with the port that the kernel chose; as wanted where it is steered */
	struct addr hidden; /* where it is bound then */
	uint64_t cookie;    /* while the binding has a group */
	int fd;             /* -1: closed */
	bool mapped;        /* in a map by which it is steered to; then for good */
	bool queued;        /* in the map of the program that chooses a worker */
	bool begun;         /* the worker has it */
	bool paused;
};

struct binding {
	char name[BIND_NAME_MAX]; /* what the parent knows it by; "": it has no sockets */
	struct addr wanted;       /* as the file has it */
	struct addr bound;        /* the same of its sockets; as wanted if they have several. Where
				     connections are steered there: the hidden address */
	struct unix_file file;
	bool ipv6_only;
	bool old;      /* another process has accepted here: it is made ready by bindings_serve() */
	bool outlives; /* its sockets go on listening when the daemon ends: others have them, too */
	bool foreign;  /* some were made in another cgroup, so the listener's clients are copied */
	atomic_bool by_sessions; /* a program chooses among its sockets; workers may look */
	uint32_t group;          /* what that calls it; 0: it does not know it */
	bool taken;              /* by the setup that is being made */
	bool given;              /* to whom that says; it can be taken back */
	struct listener *newest; /* of the newest setup, that has it; NULL: none */
	unsigned int n_sockets;
	struct listen_socket sockets[]; /* the nth is of the worker n modulo their number */
};

/* For whom addresses are bound. */
struct binder {
	struct daemon *daemon;
	struct link *link; /* to the parent; NULL: there is none */
	unsigned int n_workers;
	bool serving;                             /* this process accepts already */
	void (*own)(struct daemon *d, int fd);    /* see daemon_own() */
	bool (*disown)(struct daemon *d, int fd); /* undoes that; whether there was a mark */
	const struct bypass_maps *bypass;         /* NULL: there is none */
	FILE *errors; /* each mistake is a line, with the file's name and the listener's line */
};

/*
 * Fills in the bindings of the setup's listeners: those of `was`, the newest setup (NULL: there is
 * none), that have the address, or new ones. Nobody accepts there yet. 0, or a negative errno, and
 * what was bound anew is closed.
 */
int bindings_open(const struct binder *by, struct setup *s, const struct setup *was);
/* Closes what bindings_open() has bound anew: the setup will not be. */
void bindings_undo(struct link *link, const struct bypass_maps *bypass, struct setup *s);
/* The setup is the newest: the sockets that it has of `was` go by it. Before a worker adopts it.
 * What fails is logged. */
void bindings_commit(const struct binder *by, struct setup *s, struct setup *was);
/* When all workers have adopted the newest: frees what of this one is not in that. The
 * parent (link; NULL: there is none) has closed it, too, then. */
void bindings_retire(struct link *link, const struct bypass_maps *bypass, struct setup *was);
/* What clients inherit, and who they belong to, is for one process to say: nobody else accepts any
 * more at the setup's addresses. 0, or a negative errno, each mistake being a line in by->errors:
 * some of the sockets are of no use then. */
int bindings_serve(const struct binder *by, struct setup *s);
enum binding_leaves {
	BINDING_LEFT, /* those that the newest setup does not have */
	BINDING_ALL,  /* those that nobody has when the daemon has ended */
};

/* These of the setup's are given up: nobody new comes there (bound_hide()), and who has begun his
 * handshake is for the workers, who are told next. Where the daemon goes on it is the parent (link;
 * NULL: there is none) who hides them, unless another worker process needs them: then they stay,
 * with their queues, for that one. What fails is logged. */
void bindings_hide(struct link *link, const struct bypass_maps *bypass, const struct setup *s,
		   enum binding_leaves what);
/* Whether somebody else has some of the setup's sockets, too. */
bool bindings_outlive(const struct setup *s);
/* See daemon_disown(). */
bool bindings_disown(const struct binder *by, struct setup *s);
/* Closes all of the newest; the workers must not run. */
void bindings_close(struct setup *s);

/* Tells the log where the newest setup's listeners are. */
void bindings_say(const struct setup *s);
/* And whose clients are copied, though there is a kernel engine. */
void bindings_say_copied(const struct setup *s);

/* Whether the newest setup has it. By a worker, too, while it adopts that. */
bool binding_is_current(const struct binding *b);

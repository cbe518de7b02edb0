/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parent: the process that is started, and stays. It holds the listening sockets, starts a
 * worker process, which is the proxy, replaces one that dies, and starts a newer one beside it in
 * an upgrade. It reads no configuration and nothing from the network, and knows nothing of
 * sessions.
 */
#pragma once

#include "../signals.h"
#include "child.h"
#include "deposit.h"
#include "holder.h"
#include "link.h"
#include "manager.h"
#include "program.h"

/* One that serves, one that will, and those that still drain. */
#define CHILDREN_MAX 16

/*
 *   none        there is no upgrade
 *   checking    the program on disk reads the file on disk (-t)
 *   starting    a worker of it is on its way to be ready
 *   handing     it is, and the one before it was told to stop accepting; over when it accepts
 */
enum upgrade_state { UPGRADE_NONE, UPGRADE_CHECKING, UPGRADE_STARTING, UPGRADE_HANDING };

/* A worker process's whole life; the link is its own. The exit code. */
typedef int (*worker_fn)(struct link *link, const void *arg);

struct upgrade {
	enum upgrade_state state;
	pid_t asker;   /* the worker that is to be answered; 0: a signal asked */
	pid_t checker; /* 0: none */
	int said_fd;   /* what it says; -1: nothing more */
	struct event *said_event, *deadline;
	size_t said;
	char text[MESSAGE_TEXT_MAX];
};

struct parent {
	struct program program;
	struct event_base *base;
	struct signals signals;
	struct manager manager;
	struct holder holder;
	struct deposits deposits;
	struct child children[CHILDREN_MAX];
	struct child *serving;   /* NULL: none */
	struct child *next;      /* the one that will; NULL: none */
	unsigned int generation; /* of the newest worker */
	uint64_t deaths;         /* of workers that should not have died */
	uint64_t log_lost;       /* lines of our log, by the program before */
	uint64_t told_lost;      /* of this one's, to the workers */
	unsigned int failed;     /* the last worker that died when it was about to serve, since one
				    did; 0: none */
	unsigned int failures;   /* workers in a row that died before they were ready */
	unsigned int crashes;    /* in a row, of workers that had just begun to serve */
	struct event *again;     /* another try after one of these */
	struct event *become;    /* the new program: not in the midst of anything else */
	struct event *news;      /* of the log, see log_tell() */
	struct event *delay;     /* the drain begins */
	uint64_t delay_ns;       /* drain_delay of who serves, or did last */
	uint64_t drain_due_ns;   /* it was told to end, and all goes on until then; 0: not */
	uint64_t become_by_ns;   /* see all_told() in parent.c */
	uint64_t start_ns;       /* how long a worker may take to be ready */
	struct upgrade upgrade;
	struct log_manner manner; /* how the workers log */
	bool served;              /* a worker was ready once */
	bool reloading;           /* says the service manager, who waits for the end of it */
	bool stopping;            /* nobody is started any more */
	bool over;                /* nothing is waited for: see parent_end() */
	int exit_code;
	worker_fn worker;
	const void *worker_arg;
};

/* The parent's whole life with this command line; `worker` is that of a worker process, which is
 * forked off. The exit code. */
int parent_run(char **argv, worker_fn worker, const void *arg);

/* ---- between the files of the parent ---------------------------------------------------- */

/* Starts a worker, from the program that runs or the one on disk. When it fails, another try is
 * made, or the upgrade comes to nothing. */
void workers_start(struct parent *p, bool from_disk);
/* Starts one if nobody serves, or is about to. */
void workers_ensure(struct parent *p);
/* The same in a while, which grows with n, the number of failures in a row, from 1 on. */
void workers_start_later(struct parent *p, unsigned int n);
/* ... and gives up when there were too many. */
void workers_try_again(struct parent *p);
/* One that is ready is to accept: nobody else does any more. */
void workers_serve(struct parent *p, struct child *c);
/* Whether there are any. */
bool workers_any(const struct parent *p);
/* Tells all but one (NULL: none) what has changed. */
void workers_tell_facts(struct parent *p, const struct child *but);
/* The worker of an upgrade that has failed is not waited for. */
void workers_abandon_next(struct parent *p);
/* A child that is a worker has ended, with a status as waitpid() has it. False: it is none. */
bool workers_ended(struct parent *p, pid_t pid, int status);
/* Hands a signal on: SIGHUP to who serves or will, SIGUSR1 to all. */
void workers_signal(struct parent *p, int sig);
/* The watchdog is to be fed, if who serves is alive; one that hangs is ended. */
void workers_beat(struct parent *p);
/* Watches those that this program's predecessor has started. 0 or a negative errno. */
int workers_watch(struct parent *p, struct child *c);
/* SIGTERM and its like: the first begins drain_delay, the next the drain, a third one ends it. */
void ending_signal(struct parent *p, int sig);
/* drain_delay is over. */
void ending_due(evutil_socket_t fd, short what, void *parent);
/* Whether it was told to end, whether it drains or will. */
bool ending_is_near(const struct parent *p);
/* Who serves is told when it will drain, if it will. */
void ending_tell(const struct parent *p, struct child *c);
/* Everybody who should know has died, or nobody is left to serve: the process ends, whether its
 * loop has begun or not. */
void parent_end(struct parent *p, int exit_code);

/* Begins one; `asker`: see struct upgrade. What is wrong is answered. */
void upgrade_begin(struct parent *p, pid_t asker);
/* The checker, perhaps, has ended. False: it is another process. */
bool upgrade_ended(struct parent *p, pid_t pid, int status);
/* The new worker is ready / accepts / has come to nothing, for this reason. */
void upgrade_ready(struct parent *p);
void upgrade_succeeded(struct parent *p);
void upgrade_failed(struct parent *p, const char *why);
/* Nothing is left of it. */
void upgrade_clear(struct parent *p);
/* In a process that was forked off: frees what it has of it. */
void upgrade_leave(struct parent *p);

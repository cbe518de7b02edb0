/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parent knows of a worker process. */
#pragma once

#include <event2/event.h>
#include <stdint.h>
#include <stdio.h>

#include "message.h"
#include "outbox.h"
#include "program.h"

/*
 *   none       no process
 *   starting   it loads, proves and asks for its sockets
 *   ready      it can serve as soon as it is told to
 *   serving    it accepts
 *   retiring   it was told to make way, and has not said that it accepts nothing any more
 *   draining   it has only the sessions that it had
 */
enum child_state {
	CHILD_NONE,
	CHILD_STARTING,
	CHILD_READY,
	CHILD_SERVING,
	CHILD_RETIRING,
	CHILD_DRAINING,
	_CHILD_STATE_MAX,
};

extern const char *const child_state_str[_CHILD_STATE_MAX];

struct child_events;

struct child {
	enum child_state state;
	pid_t pid;
	unsigned int generation;
	bool from_disk;  /* it was started for an upgrade */
	bool abandoned;  /* nobody waits for it any more */
	bool killed;     /* by us: what it may have said before is not obeyed */
	bool accepts;    /* it has said that it does */
	bool told_again; /* to serve */
	bool yields;     /* it was told to, and not to retire yet */
	int signals[2];  /* meanwhile, which it is told then: more say no more */
	unsigned int n_signals;
	bool unkillable;      /* the kernel refuses, which was logged */
	uint64_t asked_ns;    /* since when it has not said that it is alive; 0: it is not asked */
	unsigned int missed;  /* how often it was due to be asked anew since */
	int channel;          /* -1: it has closed its end */
	struct event *event;  /* of the channel */
	struct outbox outbox; /* what it could not be told yet */
	struct event *deadline; /* for what it is to do next */
	uint64_t since_ns;      /* of its state */
	uint64_t drain_ns;      /* drain_delay and shutdown_grace, as it said */
	uint64_t delay_ns;      /* the former */
	char file[FILE_MAX];    /* that it has read, and need not have been there; "": none */
	const struct child_events *events;
	void *owner;
	char failure[MESSAGE_TEXT_MAX]; /* why it will end, as it said */
};

struct child_events {
	/* A descriptor that came with it is closed afterwards, unless *fd is -1 then. */
	void (*message)(struct child *c, const struct message *m, int *fd);
	void (*late)(struct child *c); /* the deadline is over */
};

/* Starts one. 0 or a negative errno; then it is `none` as before. */
int child_start(struct child *c, const struct program *program, bool from_disk,
		unsigned int generation);
/* Has what it says told. 0 or a negative errno. */
int child_watch(struct child *c, struct event_base *base, const struct child_events *events,
		void *owner);
/* The only place where its state changes. */
void child_become(struct child *c, enum child_state state);
/* Tells it, now or as soon as it can be told; `fd` stays the caller's. What fails is logged, but
 * for its having closed its end. */
void child_tell(struct child *c, struct message *m, int fd);
/* Asks whether it is alive. False: there is no memory for the question now. */
bool child_ask(struct child *c);
/* How it ended, as waitpid() has it. Returns buf. */
const char *child_how(int status, char buf[64]);
/* It has ended: what it still said of why is kept in `failure`, and that it accepted. */
void child_hear_last(struct child *c);
/* Has `late` called after so many ns, instead of at an earlier time; 0: never. */
void child_set_deadline(struct child *c, uint64_t ns);
/* It has no more than the sessions that it had, and so long for them as it said. */
void child_drain(struct child *c);
/* SIGABRT, for a core, or SIGKILL, which it cannot put off; its end is told by SIGCHLD. Where the
 * kernel refuses SIGKILL, its channel is closed, at which it ends by itself. */
void child_abort(struct child *c);
void child_kill(struct child *c);
/* ... and once more, again and again, should it not go. */
void child_end(struct child *c);
/* It has ended, or will not be watched any more: frees what there is, and is `none`. */
void child_gone(struct child *c);

/* For the program that this process becomes: as in holder.h. */
int child_write(const struct child *c, FILE *f);
int child_read(struct child *c, const char *line);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file, read again while the daemon runs. It is parsed and checked as a whole, what it needs is
 * made (pools, routes, addresses, the log), and only then it is the newest setup, which cannot fail
 * any more; the workers take it by letter. Sessions that there are go on under theirs. A mistake
 * leaves everything as it was.
 *
 * One reload after the other: whoever asks meanwhile is for the next one. Main thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct addresses;
struct config;
struct daemon;
struct mailbox;
struct message_reloaded;

/* What became of one. */
struct reload_result {
	bool done;            /* it is in effect; else nothing was changed */
	const char *messages; /* not done: the mistakes, each a line, "FILE:LINE: text" mostly */
	const char *restart;  /* done: what of it takes effect at a restart; "": nothing */
	const struct config *config; /* done */
};

/* Who asked; the memory is theirs until `over` is called. */
struct reload_wait {
	void (*over)(struct reload_wait *w, const struct reload_result *r);
	TAILQ_ENTRY(reload_wait) link;
};
TAILQ_HEAD(reload_waiting, reload_wait);

struct reload {
	struct daemon *daemon;
	struct addresses *addresses;
	struct mailbox *mail;          /* of the main thread; its letters' owner is not used */
	unsigned int remaining;        /* workers that have not taken the newest setup */
	bool again;                    /* another one was asked for */
	struct reload_waiting waiting; /* for this one, */
	struct reload_waiting next;    /* ... and for another one */
	char *restart;                 /* see struct reload_result */
	char failure[230];             /* what the last one failed with, for the service manager */
};

void reload_init(struct reload *r, struct daemon *d, struct addresses *a, struct mailbox *mail);
/* Who still waits is told that nothing was changed. Allowed on a zeroed one. */
void reload_fini(struct reload *r);
/* Begins one, now or after the one that is under way; w->over is called when all workers have it,
 * or it has failed, perhaps from within. `w` may be NULL: nobody waits. The log is told, too. */
void reload_ask(struct reload *r, struct reload_wait *w);

/* What the parent should know of the file that is in effect; ret->status is empty while another one
 * is about to be. */
void reload_state(const struct reload *r, struct message_reloaded *ret);

/* Logs what in the file is hardly meant. */
void reload_say_warnings(const struct config *c);

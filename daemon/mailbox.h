/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Letters to a thread that runs an event base: a function to call there, in order. */
#pragma once

#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>

typedef void (*letter_fn)(void *owner, void *arg);

/* What a letter tells is its sender's, and so is its memory: sending one needs none, and what must
 * be told when memory has run out can be. Zeroed before the first use. */
struct letter {
	struct letter *next;
	letter_fn fn;
	void *arg;
	bool queued; /* under the mailbox's lock */
};

struct mailbox {
	pthread_mutex_t lock;
	struct letter *head, **tail;
	struct event *event;
	void *owner;
	int fd;
};

/* `owner` is the first argument of every letter. 0 or a negative errno. */
int mailbox_init(struct mailbox *m, struct event_base *base, void *owner);
/* Letters that were not read are dropped. Allowed on a zeroed or half-made mailbox. */
void mailbox_fini(struct mailbox *m);
/*
 * Has fn(owner, arg) called in the mailbox's thread. Any thread; never blocks and cannot fail. `l`
 * must stay where it is until then; fn may free it or post it again. One that waits already is
 * delivered once, as it was posted first; a letter goes to one mailbox at a time.
 */
void mailbox_post(struct mailbox *m, struct letter *l, letter_fn fn, void *arg);

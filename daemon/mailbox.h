/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Letters to a thread that runs an event base: a function to call there, in order. */
#pragma once

#include <event2/event.h>
#include <pthread.h>

struct letter;

struct mailbox {
	pthread_mutex_t lock;
	struct letter *head, **tail;
	struct event *event;
	void *owner;
	int fd;
};

typedef void (*letter_fn)(void *owner, void *arg);

/* `owner` is the first argument of every letter. 0 or a negative errno. */
int mailbox_init(struct mailbox *m, struct event_base *base, void *owner);
/* Letters that were not read are dropped. Allowed on a zeroed or half-made mailbox. */
void mailbox_fini(struct mailbox *m);
/* Any thread; never blocks. 0, or -ENOMEM and nothing was sent. */
int mailbox_post(struct mailbox *m, letter_fn fn, void *arg);

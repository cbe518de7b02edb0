/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a worker is told. Its parent waits for nobody: what the kernel has no memory for, or a
 * worker that does not read has no room for, is kept, in order, and tried again until it is told or
 * the worker is gone.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "message.h"

/* So many messages are kept for one worker. */
#define OUTBOX_MAX 32

struct letter_out;

struct outbox {
	int channel; /* of its owner */
	TAILQ_HEAD(, letter_out) letters;
	unsigned int n;
	struct event *again;
	uint64_t pause_ns; /* until the next try */
};

/* 0 or -ENOMEM; outbox_close() is right in either case, and for a zeroed one. The channel stays
 * open for as long as the outbox is. */
int outbox_open(struct outbox *o, int channel, struct event_base *base);
/*
 * Tells it, at once or later; `fd` is copied for as long as that takes. Of MESSAGE_FACTS the newest
 * is kept alone. 0, or a negative errno: it is lost.
 */
int outbox_send(struct outbox *o, struct message *m, int fd);
/* What is kept is lost. */
void outbox_close(struct outbox *o);

static inline bool outbox_is_empty(const struct outbox *o)
{
	return !o->n;
}

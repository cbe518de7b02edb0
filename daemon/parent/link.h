/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker process's link to its parent. Used in the main thread alone. */
#pragma once

#include <event2/event.h>

#include "message.h"

/* The name of the environment's variable with the descriptor's number. */
#define LINK_VARIABLE "SPLICED_CHANNEL"

struct link;

struct link_events {
	void (*message)(const struct message *m, void *arg);
	void (*gone)(void *arg); /* the parent is; called once */
};

/* Whether this program was started as a worker's; *ret is NULL if not. 0 or a negative errno. */
int link_open(struct link **ret);
/* Takes the channel, also when it fails: NULL, for want of memory. */
struct link *link_new(int channel);
/* Has what the parent says told in the loop of `base`. 0 or a negative errno. */
int link_watch(struct link *l, struct event_base *base, const struct link_events *events,
	       void *arg);
void link_close(struct link *l); /* NULL is allowed */

static inline void link_closep(struct link **l)
{
	link_close(*l);
}
#define _cleanup_link_ _cleanup_(link_closep)

/*
 * A bound socket, from the parent, or bound here where `l` is NULL: then there is none of that name
 * before. Waits for the answer. On success the caller owns ret->fd, and the file of a unix socket
 * only where it was bound here. 0, or a negative errno and *call is the call that failed.
 */
int link_hold(struct link *l, const struct bind_request *r, struct bound *ret,
	      struct message_held *held, const char **call);
/* Has the parent give the file of a unix socket that it holds the owner and mode of the request.
 * Waits for the answer: 0 or a negative errno. */
int link_change(struct link *l, const struct bind_request *r);
/* Nobody here has the sockets of that name any more, and when this returns the parent has closed
 * its own. `l` may be NULL. What fails is logged: then they are open until the next upgrade. */
void link_release(struct link *l, const char *name);
/* The sockets of that name, which it holds, are given up, and when this returns the parent has
 * hidden them, unless another worker needs them to be seen. 0, or a negative errno: `l` is NULL, or
 * it has not answered. */
int link_hide(struct link *l, const char *name);
/* What an earlier worker has left under that name, the caller's from now on. -1: there is none, or
 * no parent (`l` may be NULL). */
int link_fetch(struct link *l, const char *name);
/* Leaves a copy of the descriptor with the parent: see deposit.h. What fails is logged; nothing
 * without a parent. */
void link_leave(struct link *l, const char *name, int fd);
/* Tells it. 0 or a negative errno, which is logged but for -EPIPE: the loop hears of that. */
int link_send(struct link *l, struct message *m);
/* The same, where what fails is not told again, or the parent asks again. */
void link_tell(struct link *l, struct message *m);
/* What it has said of the family so far. `l` may be NULL. */
const struct message_facts *link_facts(const struct link *l);

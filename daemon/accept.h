/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a worker gets its clients: from the listening sockets that it has of each address
 * (binding.h). The kernel spreads the connections, and balance.c evens that out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct addr;
struct listen_socket;
struct listener;
struct setup;
struct worker;

/* The worker accepts for the setup, and no more at addresses that only `was` has (NULL: it begins).
 * In its thread, or before that runs. */
void accept_adopt(struct worker *w, struct setup *s, struct setup *was);
/* It begins to accept at the setup's addresses. In that thread. */
void accept_serve(struct worker *w, struct setup *s);
/* It accepts no more, but for a moment at sockets that are hidden (lingering.h); when another
 * process goes on, what has come is accepted first. In that thread, or after it, when all is closed
 * at once. */
void accept_stop(struct worker *w, struct setup *s);
/* Accepts what is in the queue of one that is to be closed: its sockets have our marks, or nobody
 * else would take it. Where there is no room for more it stays there; what comes meanwhile need not
 * be ours. */
void accept_rest(struct listen_socket *ls);
/* The same of one that was given up, and may be another worker process's from now on. */
void accept_last(struct listen_socket *ls);
/* Begins a session with an accepted socket and a place that counts already, both of which are
 * taken; where there is no memory for it the client gets a reset. */
void accept_session(struct worker *w, struct listener *l, int fd, uint32_t slot,
		    const struct addr *client, bool denied);

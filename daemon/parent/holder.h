/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bound sockets that the parent holds, by name: a worker gets the ones that the worker before
 * it had, and what waits in their queues is lost to nobody.
 */
#pragma once

#include <stdio.h>

#include "held.h"

struct holder {
	struct held *items;
	size_t n, space;
	unsigned int serving; /* the generation that does; 0: none yet */
};

/*
 * The socket of that name and index, which is bound if it is not there. Fills in what the worker is
 * answered. The descriptor stays the holder's; -1: *ret has the error.
 */
int holder_hold(struct holder *h, const struct bind_request *r, unsigned int generation,
		struct message_held *ret);
/* Has the file of a unix socket belong to whom a generation wants it to: at once if that one
 * serves, else when it comes to. 0 or a negative errno. */
int holder_change(struct holder *h, const struct bind_request *r, unsigned int generation);
/*
 * What the service manager passed when this process was started: a socket with that name in its
 * unit, or one of the store. The descriptor is the holder's, also when it fails: what is no good as
 * a passed one is told to who asks for it. 0 or -ENOMEM.
 */
int holder_add_passed(struct holder *h, const char *name, int fd);
int holder_add_stored(struct holder *h, const char *name, int fd);
/* A generation serves: what only earlier ones wanted is closed. */
void holder_keep(struct holder *h, unsigned int generation);
/* A generation came to nothing: what no other one wants is closed. */
void holder_forget(struct holder *h, unsigned int generation);
/* A generation wants the sockets of that name no more. */
void holder_release(struct holder *h, const char *name, unsigned int generation);
/* Closes what clients connect to; the files stay till the end. */
void holder_close_doors(struct holder *h);
/* What is in the store stays there, with its files: for the next process of this service. */
void holder_close(struct holder *h);
/* In a process that was forked off: closes what it has of them, and leaves the files alone. */
void holder_leave(struct holder *h);

/* For the program that this process is about to become: writes one line a socket, and has the
 * descriptors survive (or not). 0 or a negative errno. */
int holder_write(const struct holder *h, FILE *f);
int holder_survive(const struct holder *h, bool survive);
/* Reads such a line. 0, -EINVAL or -ENOMEM. */
int holder_read(struct holder *h, const char *line);

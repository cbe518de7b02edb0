/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon intercepts: its [intercept NAME] sections at run time. They are as the daemon
 * found them when it started; where they lead follows the listeners over reloads. What changes
 * that, or ends it, returns 10 ms later, when those that were on their way have come to the
 * listeners where they were sent: these may be given up then. Main thread only, but for
 * interception_original().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"

struct config;
struct interception;
struct link;
struct setup;

/*
 * Loads and attaches what the configuration wants; that it works here has been tried. Nothing is
 * intercepted yet, and nothing refused. What cannot be is told in the log. Needs privileges, the
 * listeners' sockets, and the mark on the daemon's own (see intercept/mark.h): its connects would
 * come back to it. What an earlier worker process has left with the parent is taken over, and left
 * for later ones. 0, or a negative errno after logging: it is required.
 */
int interception_open(const struct config *c, struct link *link, struct interception **ret);
/* Says in the log that nothing is intercepted, and why. -ENOTSUP: it is required; or 0. */
int interception_refuse(const struct config *c, const char *why);
void interception_close(struct interception *i); /* NULL is allowed */
/* Where this setup's listeners are it leads from now on. NULL is allowed. */
void interception_aim(struct interception *i, const struct setup *s);
/* This process is about to accept, at sockets that listen: connects go there from now on, but where
 * who accepts at present does not expect them. NULL is allowed. */
void interception_ready(struct interception *i);
/* ... and it does, by this setup: all go there. NULL is allowed. */
void interception_serve(struct interception *i, const struct setup *s);
/* Nobody accepts any more. NULL is allowed. */
void interception_end(struct interception *i);
/* Another process of the daemon accepts instead, or will, and what is to become of connects is its
 * programs' to say: these would refuse them for as long as sessions last. NULL is allowed. */
void interception_retire(struct interception *i);
/* ... and that one will not come to it: nobody accepts any more. NULL is allowed. */
void interception_abandon(struct interception *i);
/* Where the client of an accepted connection wanted to go; the caller frees it. NULL: it was not
 * intercepted, or there is no memory to say so. Any thread. */
struct addr *interception_original(const struct interception *i, int fd, const struct addr *client);

/* One of them, for reports. */
struct intercept_figures {
	const char *name, *cgroup, *listener;
	bool active;
	uint64_t redirected, unready, unkept, unfound;
};
unsigned int interception_count(const struct interception *i);
void interception_figures(const struct interception *i, unsigned int n,
			  struct intercept_figures *ret);

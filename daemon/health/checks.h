/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checks of all servers whose pool has a health_check, in one thread, that of the event base.
 * Each address is checked once in each health_interval, give or take a tenth; the first time soon
 * after it is known. The state that follows is in upstream/health.h.
 */
#pragma once

#include <stdint.h>
#include <sys/queue.h>

#include "../upstream/server.h"

struct daemon;
struct event_base;
struct watched;

/* That many are under way at most: the others wait their turn. Of those that are not known to
 * answer there are fewer, so that who answers does not wait for their timeouts; and of those that
 * did not the last time fewer still. */
#define CHECKS_MAX         256
#define CHECKS_UNSURE_MAX  192
#define CHECKS_FAILING_MAX 128

struct checks {
	struct daemon *daemon; /* NULL: it was not begun */
	struct event_base *base;
	LIST_HEAD(, watched) servers;
	unsigned int running[_CHECK_HOPE_MAX];
	uint64_t random; /* for the time between two checks */
};

/* Begins with one that is all zero, for the servers of the daemon's setup. 0 or a negative errno
 * after logging; checks_stop() is right in either case. */
int checks_start(struct checks *all, struct daemon *d, struct event_base *base);
void checks_stop(struct checks *all);

/*
 * The daemon has another setup, which is committed: servers that are new, or are to be checked now,
 * begin to be, those that are not or are removed are no more, and the others go on by its times,
 * from now on: where it has another health_interval, or asks something else, a check is due as at
 * the beginning. 0, or -ENOMEM after logging: some are not checked. Until it is called the setup
 * before must live.
 */
int checks_follow(struct checks *all);
/* Something about the server is new: it is looked at at once. One that is not checked is fine. */
void checks_look(const struct server *s);

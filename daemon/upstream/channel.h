/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A c-ares channel that an event base drives: its sockets and its next timeout are events. The
 * base's thread only. Callbacks of c-ares must not close the channel they come from.
 */
#pragma once

#include <ares.h>
#include <event2/event.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "resolvconf.h"

struct channel {
	struct event_base *base;
	ares_channel ares;          /* NULL: it is closed */
	struct ares_options search; /* what c-ares has read of resolv.conf */
	struct event *timer;        /* its next timeout */
	struct addr servers[RESOLVCONF_SERVERS];
	size_t n_servers;
	LIST_HEAD(, channel_socket) sockets;
};

struct channel_settings {
	const struct addr *servers;
	size_t n_servers; /* at most RESOLVCONF_SERVERS */
	int timeout;      /* seconds of the first try of a question; 0: 1 */
	int attempts;     /* 0: 3 */
	bool follows;     /* resolv.conf has a say */
};

/* A closed one. 0 or -ENOMEM; channel_fini() is right in either case. */
int channel_init(struct channel *c, struct event_base *base);
void channel_fini(struct channel *c);
/*
 * Opens it; one that was open is closed first, which ends its questions with ARES_EDESTRUCTION. 0,
 * or an error of c-ares and nothing is changed.
 */
int channel_open(struct channel *c, const struct channel_settings *settings);
/* To be called after a question: when there is a timeout next. */
void channel_set_timer(struct channel *c);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A listener, as its sessions know it: what is configured for them, where they may go, and how many
 * there are. It is of one setup (setup.h) and does not change; what is counted of it goes on over
 * all setups that have a listener of its name. How clients come is in accept.h.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "addr.h"
#include "config/config.h"
#include "stats.h"

struct binding;
struct listener;
struct pool;
struct route_query;
struct routes;
struct setup;

/* What one worker has of a listener. That worker's thread writes it; others may read the counters.
 */
struct listener_part {
	struct listener_stats stats;
	struct listener *now; /* of that name in the worker's setup; NULL: none */
};

/* The listeners of one name, one after the other. */
struct listener_account {
	char *name;
	struct listener_part *parts; /* of each worker */
	atomic_uint
	    places; /* of its sessions, and of those that may come: see listener_reserve() */
	atomic_uint active; /* its sessions */
	atomic_uint_fast64_t total;
	struct listener_stats reported; /* see report/totals.h; main thread only, as is: */
	unsigned int refs;
};

struct listener {
	const struct listener_config *config;
	struct setup *setup; /* that it is of */
	struct listener_account *account;
	struct pool **pools; /* by the routes' numbers */
	struct pool *pool;   /* where no route matches; NULL: refuse */
	struct routes *routes;
	bool tunnels_h2;           /* HTTP/2 is forwarded, not refused */
	bool asks_destination;     /* some route looks at where clients wanted to go */
	bool foreign;              /* some of its sockets are another's; set with the bindings */
	atomic_bool intercepts;    /* connects of other programs come here, have before, or will by
				      the file that comes next; workers look */
	bool steered;              /* what is steered comes here, and nothing else; the same */
	struct binding **bindings; /* n_binds: where its clients connect to; binding.h fills them
				      in, and they may be gone when the setup is not the newest */
	uint64_t silence; /* ns for which its sessions may be silent; UINT64_MAX: for ever */
};

/*
 * What the configuration says of it. Of `was`, the listener of that name in the setup before (NULL:
 * there was none), it takes the account. Main thread only. 0 or -ENOMEM; listener_fini() is right
 * in either case.
 */
int listener_init(struct listener *l, struct setup *setup, struct pool **pools,
		  const struct listener_config *config, unsigned int n_workers,
		  const struct listener *was);
void listener_fini(struct listener *l);
/* Whether `allow` and `deny` let this client in. */
bool listener_allows(const struct listener *l, const struct addr *client);
/* The pool of the first route that matches, or, but for CONNECT, the listener's own; NULL: nothing
 * matches. */
struct pool *listener_route(const struct listener *l, const struct route_query *query);
/* Whether a client that cannot be served is told so, when its request has come. */
bool listener_tells(const struct listener *l);
/* Whether its clients, or their servers, may be joined, where they are applications of this host.
 */
bool listener_bypasses(const struct listener *l);
/* Whether the bypass is to know its clients; and the connections that are made to its servers. */
bool listener_marks_clients(const struct listener *l);
bool listener_marks_servers(const struct listener *l);
/*
 * A place for a session that may come, within its max_sessions. Where none comes it is given back;
 * where one does, it counts from its begin, and its end frees the place. Any thread.
 */
bool listener_reserve(struct listener *l);
void listener_unreserve(struct listener *l);
void listener_session_begins(struct listener *l);
void listener_session_ended(struct listener *l);

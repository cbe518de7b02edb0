/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The HTTP server for who watches the daemon: a page, /metrics, /healthz and /readyz. It only
 * tells. Runs in the main thread; slow and hostile clients are bounded by oneshot.h, and sessions
 * never wait for it.
 */
#pragma once

#include "../addr.h"

struct daemon;
struct doctor;
struct event_base;
struct link;
struct metrics;
struct oneshot;
struct status;
struct tally;

struct status_sources {
	struct daemon *daemon;
	const struct doctor *doctor;
	struct metrics *metrics;
	struct tally *tally;
};

/* Listens at `where`, whose port the kernel may choose. `from` names the option in messages. 0 or a
 * negative errno after logging. */
int status_open(struct event_base *base, const struct addr *where, const char *from,
		const struct status_sources *sources, struct status **ret);
/* Its server: accepting is begun and stopped there. NULL for a NULL status. */
struct oneshot *status_server(const struct status *s);
/* Where it listens. */
const struct addr *status_address(const struct status *s);
void status_close(struct status *s); /* NULL is allowed */

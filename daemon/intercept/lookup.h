/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The programs that steer: one of this process's network namespace, and one of a cgroup, by
 * which the first knows what the daemon, or another of its kind, connects. They are there as long
 * as this process is, or another that was given their links: no pins. After lookup_open() no call
 * here needs a capability. Main thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "../addr.h"
#include "../config/destination.h"
#include "steer-api.h"

/* The maps that the worker processes of a daemon share; -1: there are none yet. */
struct lookup_maps {
	int own_fd, serving_fd;
};
#define LOOKUP_NO_MAPS ((struct lookup_maps){-1, -1})

struct lookup {
	struct steer_bpf *skeleton;
	volatile struct steer_orders *orders;
	volatile struct steer_counts *counts;
	uint64_t generation;
	unsigned int n_listeners[2]; /* of each set of orders */
};

/*
 * Nothing is steered until lookup_serve(), and orders->ready. `cgroup` is the folder
 * below which connects are known. In a trial what another daemon steers is looked at, too. Maps
 * that are not there, or have another layout, are made, and the caller's to close. 0, or a negative
 * errno and a sentence in `why`; lookup_close() is right in either case.
 */
int lookup_open(struct lookup *l, const char *cgroup, bool trial, struct lookup_maps *maps,
		char why[256]);
void lookup_close(struct lookup *l);
/* The program of the namespace is not this process's any more. */
void lookup_detach(struct lookup *l);
/* The links: as long as somebody has one, its program stays where it is. */
int lookup_link(const struct lookup *l);
int lookup_exempt_link(const struct lookup *l);

/* New orders, which take the place of those before all at once. First they are empty. */
int lookup_begin(struct lookup *l);
/* A listening socket, for which rules that say `n`, less than STEER_RULES, take connections: with
 * SO_REUSEPORT it stands for all of its address. */
int lookup_add_listener(struct lookup *l, unsigned int n, int fd);
/* -ENOSPC: there are too many. */
int lookup_add_rule(struct lookup *l, const struct destination *d, enum steer_kind kind,
		    unsigned int n);
/* The daemon listens there: [::] may stand for all of IPv4, too. */
int lookup_add_place(struct lookup *l, const struct addr *bound, bool ipv6_only,
		     enum steer_own what);
/* They are in effect. Cannot fail. */
void lookup_commit(struct lookup *l);
/* From now on this object's orders count, and those of no other one with the same maps. 0 or a
 * negative errno. */
int lookup_serve(struct lookup *l);

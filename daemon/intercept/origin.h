/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where intercepted connects were to go: see bpf/intercept-api.h. */
#pragma once

#include "../addr.h"
#include "intercept-api.h"

/* An address as the programs have it; one of IPv6 that stands for one of IPv4 is that one. */
void place_of(const struct addr *a, struct intercept_place *ret);
void place_to_addr(const struct intercept_place *p, struct addr *ret);

/* The maps that all of them share; -1: there are none yet. */
struct intercept_maps {
	int flows_fd, origins_fd, arrivals_fd;
};
#define INTERCEPT_NO_MAPS ((struct intercept_maps){-1, -1, -1})

/*
 * Where the client of an accepted connection wanted to go; `client` is its peer. Of one whose
 * socket is none of the daemon's cgroup that is known once. 0; -ENOENT: it was not intercepted; or
 * another negative errno.
 */
int origin_find(const struct intercept_maps *maps, int fd, const struct addr *client,
		struct addr *ret);

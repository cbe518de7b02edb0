/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where intercepted connects were to go: see bpf/intercept-api.h. */
#pragma once

#include "../addr.h"
#include "intercept-api.h"

/* An address as the programs have it; one of IPv6 that stands for one of IPv4 is that one. */
void place_of(const struct addr *a, struct intercept_place *ret);
void place_to_addr(const struct intercept_place *p, struct addr *ret);

/*
 * Takes the entry of an accepted connection out of `flows`: where its client wanted to go. `client`
 * is its peer. 0; -ENOENT: it was not intercepted; or another negative errno.
 */
int origin_take(int flows_fd, int fd, const struct addr *client, struct addr *ret);

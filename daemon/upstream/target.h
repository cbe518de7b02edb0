/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One address of a server, and its share of what the server gets: less while it is new, which it is
 * for slow_start (`span`, in nanoseconds; 0: never) after it was away. Under the pool's lock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "../addr.h"
#include "health.h"

/* It keeps its slot as long as the server has it. */
struct target {
	struct addr addr;
	struct health health;
	uint64_t back_ns; /* since when it is back; 0: it was never away */
	long turn;        /* of smooth weighted round robin, while some are new */
};

/* What was never away, in the unit of shares. */
#define TARGET_WHOLE 100

/* Whether what is back since then is new. */
bool target_is_new(uint64_t back_ns, uint64_t span, uint64_t now);
/* From a tenth of the whole to the whole. */
unsigned int target_share(const struct target *t, uint64_t span, uint64_t now);
/* Whose turn it is among those of `candidates`, a bit for each, which are not none: by their
 * shares. */
unsigned int targets_next(struct target *all, uint64_t candidates, uint64_t span, uint64_t now);

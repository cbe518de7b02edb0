/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How often something took how long: counters of one worker, as those of stats.h, by fixed bounds
 * (three to a power of ten).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BOUNDS 25 /* from 100 us to 10 000 s: 1, 2.5 and 5 of each power of ten */

/* In nanoseconds, ascending. A time counts for the first bound that it does not exceed. */
extern const uint64_t histogram_bounds[HISTOGRAM_BOUNDS];

/* Nothing but uint64_t: it is added up as counters are. */
struct histogram {
	uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* by bound; the last one is of longer times */
	uint64_t sum_ns;
};

/* The counter that `ns` is one more of. */
size_t histogram_index(uint64_t ns);

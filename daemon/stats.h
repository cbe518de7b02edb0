/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The counters of one worker: written by its thread, read by any (relaxed). counters.h says what
 * they are; gauges and what no worker counts stay 0 here, and are filled in by who reports them.
 */
#pragma once

#include <stdint.h>

/* Room for a counter of each value of an enum, whichever: report/counter.c checks that it is
 * enough. */
#define STATS_VALUES_MAX 48

struct stats {
#define COUNTER(name, help)                uint64_t name;
#define GAUGE                              COUNTER
#define FAMILY(name, names, n_names, help) uint64_t name[STATS_VALUES_MAX];
#include "counters.h"
#undef COUNTER
#undef GAUGE
#undef FAMILY
};

static inline void stat_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}
static inline void stat_inc(uint64_t *counter)
{
	stat_add(counter, 1);
}
static inline uint64_t stat_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The counters of one worker: written by its thread, read by any (relaxed). counters.h says what
 * they are. What is told of the sessions that live (bytes and the gauges) is as of the last round
 * of tally.h; what no worker counts stays 0 here, and is filled in by who reports it.
 */
#pragma once

#include <stdint.h>

#include "histogram.h"

/* What the families of listeners and servers are of. */
enum moved_by { MOVED_BY_NONE, MOVED_BY_COPY, MOVED_BY_KERNEL, MOVED_BY_BYPASS, _MOVED_BY_MAX };
enum bytes_of {
	BYTES_UP_COPY,
	BYTES_UP_KERNEL,
	BYTES_UP_BYPASS,
	BYTES_DOWN_COPY,
	BYTES_DOWN_KERNEL,
	BYTES_DOWN_BYPASS,
	_BYTES_OF_MAX
};
#define _STATUS_CLASS_MAX 6 /* the first digit; 0: another one */

/* Room for a counter of each value of an enum, whichever: report/counter.c checks that it is
 * enough. */
#define STATS_VALUES_MAX 48

struct stats {
#define COUNTER(name, help)                 uint64_t name;
#define GAUGE(name, help)                   uint64_t name;
#define FAMILY(name, label, names, n, help) uint64_t name[STATS_VALUES_MAX];
#include "counters.h"
};

/* Workers write to theirs all the time: none has a part of a cache line that is another's. */
#define STATS_LINE 64

struct listener_stats {
#define LISTENER_FAMILY(name, http, label, names, n, help) uint64_t name[n];
#define LISTENER_TIMES(name, http, from, to, help)         struct histogram name;
#include "counters.h"
} __attribute__((aligned(STATS_LINE)));

struct server_stats {
#define SERVER_FAMILY(name, http, label, names, n, help) uint64_t name[n];
#define SERVER_TIMES(name, http, from, to, help)         struct histogram name;
#include "counters.h"
} __attribute__((aligned(STATS_LINE)));

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
static inline void stat_set(uint64_t *gauge, uint64_t n)
{
	__atomic_store_n(gauge, n, __ATOMIC_RELAXED);
}
/* Something has taken `ns`. */
static inline void stat_time(struct histogram *h, uint64_t ns)
{
	stat_inc(&h->counts[histogram_index(ns)]);
	stat_add(&h->sum_ns, ns);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters of one worker: written by its thread, read by any (relaxed). */
#pragma once

#include <stdint.h>

/* Room for a counter of each value of an enum, whichever: report.c has their names and checks that
 * it is enough. */
#define STATS_VALUES_MAX 48

struct stats {
	uint64_t sessions_total, sessions_kernel, sessions_copy;
	uint64_t bytes_redirected, bytes_copied, bytes_trimmed; /* of sessions that have ended */
	uint64_t pauses, resumes, looks, served, integrity_aborts;
	uint64_t accept_failures, denied, retries, events_lost;
	uint64_t http_requests, backend_reused;
	uint64_t http_responses[6];              /* by the status' first digit */
	uint64_t http_errors[STATS_VALUES_MAX];  /* by enum http_error */
	uint64_t http_ends[STATS_VALUES_MAX];    /* by enum http_end */
	uint64_t copy_reasons[STATS_VALUES_MAX]; /* by enum copy_reason */
	uint64_t ends[STATS_VALUES_MAX];         /* by enum session_end */
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters of one worker: written by its thread, read by any (relaxed). */
#pragma once

#include <stdint.h>

#include "http/exchange.h"
#include "session.h"

struct stats {
	uint64_t sessions_total, sessions_kernel, sessions_copy;
	uint64_t bytes_redirected, bytes_copied, bytes_trimmed; /* of sessions that have ended */
	uint64_t pauses, resumes, looks, served, integrity_aborts;
	uint64_t accept_failures, denied, retries, events_lost;
	uint64_t http_requests, backend_reused;
	uint64_t http_responses[6]; /* by the status' first digit */
	uint64_t http_errors[_HTTP_ERROR_MAX];
	uint64_t http_ends[_HTTP_END_MAX];
	uint64_t copy_reasons[_COPY_REASON_MAX];
	uint64_t ends[_SESSION_END_MAX];
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small things every file needs: cleanup attributes, array sizes, the clock. */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a)         (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)             ((a) < (b) ? (a) : (b))
#define MAX(a, b)             ((a) > (b) ? (a) : (b))
#define container_of(p, t, m) ((t *)(void *)((char *)(p)-offsetof(t, m)))
#define _printf_(fmt, args)   __attribute__((format(printf, fmt, args)))
#define _cleanup_(f)          __attribute__((cleanup(f)))
#define _must_check_          __attribute__((warn_unused_result))
#define _unused_              __attribute__((unused))

static inline void freep_(void *p)
{
	free(*(void **)p);
}

static inline void closep_(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

/* Frees or closes the variable when its scope ends; a descriptor starts at -1. */
#define _cleanup_free_  _cleanup_(freep_)
#define _cleanup_close_ _cleanup_(closep_)

/* Takes the value out of an owning variable, so that its cleanup does nothing. */
#define TAKE_PTR(p)                            \
	({                                     \
		__typeof__(p) *take_ = &(p);   \
		__typeof__(p) value_ = *take_; \
		*take_ = NULL;                 \
		value_;                        \
	})
#define TAKE_FD(fd)                  \
	({                           \
		int *take_ = &(fd);  \
		int value_ = *take_; \
		*take_ = -1;         \
		value_;              \
	})

#define NSEC_PER_SEC  UINT64_C(1000000000)
#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_USEC UINT64_C(1000)

/* CLOCK_MONOTONIC in nanoseconds: the clock of bpf_ktime_get_coarse_ns() too. */
static inline uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

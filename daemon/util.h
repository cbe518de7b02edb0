/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small things every file needs: cleanup attributes, array sizes, the clock. */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
/*
 * Functions, so that each argument is evaluated once: it may be a call, or what the kernel changes
 * meanwhile. Of the type that a + b has.
 */
#define MIN(a, b) EXTREME(min, a, b)
#define MAX(a, b) EXTREME(max, a, b)
/* clang-format off */
#define EXTREME(which, a, b)                                 \
	_Generic((a) + (b),                                  \
		int: which##_int,                            \
		unsigned int: which##_uint,                  \
		long: which##_long,                          \
		unsigned long: which##_ulong,                \
		long long: which##_llong,                    \
		unsigned long long: which##_ullong)(a, b)
/* clang-format on */
#define container_of(p, t, m) ((t *)(void *)((char *)(p)-offsetof(t, m)))
#define _printf_(fmt, args)   __attribute__((format(printf, fmt, args)))
#define _cleanup_(f)          __attribute__((cleanup(f)))
#define _must_check_          __attribute__((warn_unused_result))
#define _unused_              __attribute__((unused))
#define _noreturn_            __attribute__((noreturn))

#define DEFINE_EXTREMES(name, type)                   \
	static inline type min_##name(type a, type b) \
	{                                             \
		return a < b ? a : b;                 \
	}                                             \
	static inline type max_##name(type a, type b) \
	{                                             \
		return a > b ? a : b;                 \
	}
DEFINE_EXTREMES(int, int)
DEFINE_EXTREMES(uint, unsigned int)
DEFINE_EXTREMES(long, long)
DEFINE_EXTREMES(ulong, unsigned long)
DEFINE_EXTREMES(llong, long long)
DEFINE_EXTREMES(ullong, unsigned long long)
#undef DEFINE_EXTREMES

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

static inline struct timeval timeval_of(uint64_t ns)
{
	return (struct timeval){.tv_sec = (time_t)(ns / NSEC_PER_SEC),
				.tv_usec = (suseconds_t)(ns % NSEC_PER_SEC / NSEC_PER_USEC)};
}

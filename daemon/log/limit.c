// SPDX-License-Identifier: GPL-2.0-or-later
#include "limit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "../util.h"

#define BURST 20
#define SITES 64

/* Of one place in the code. */
struct limit {
	const char *fmt;
	uint64_t since; /* when tokens was right */
	unsigned int tokens;
	struct left_out out;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct limit limits[SITES];
static atomic_uint sites_left_out;

static struct limit *limit_of(const char *fmt, uint64_t now)
{
	for (size_t i = 0; i < SITES; i++) {
		if (limits[i].fmt == fmt)
			return &limits[i];
		if (!limits[i].fmt) {
			limits[i] = (struct limit){.fmt = fmt, .since = now, .tokens = BURST};
			return &limits[i];
		}
	}
	return NULL; /* more places than there is room for: no limit */
}

static void refill(struct limit *l, uint64_t now)
{
	uint64_t seconds = (now - l->since) / NSEC_PER_SEC;

	l->tokens = (unsigned int)MIN(l->tokens + seconds, (uint64_t)BURST);
	l->since += seconds * NSEC_PER_SEC;
}

/* Takes what is to be told; the lock is held. */
static void take(struct limit *l, struct left_out *ret)
{
	*ret = l->out;
	l->out.n = 0;
	if (ret->n)
		atomic_fetch_sub(&sites_left_out, 1);
}

static void leave_out(struct limit *l, enum log_level level, const char *text)
{
	if (!l->out.n++)
		atomic_fetch_add(&sites_left_out, 1);
	l->out.level = level;
	(void)snprintf(l->out.last, sizeof(l->out.last), "%.255s", text);
}

bool limit_allows(enum log_level level, const char *fmt, const char *text, struct left_out *before)
{
	uint64_t now = now_ns();
	struct limit *l;
	bool may = true;

	before->n = 0;
	(void)pthread_mutex_lock(&lock);
	l = limit_of(fmt, now);
	if (l) {
		refill(l, now);
		may = l->tokens > 0;
		if (may) {
			l->tokens--;
			take(l, before);
		} else {
			leave_out(l, level, text);
		}
	}
	(void)pthread_mutex_unlock(&lock);
	return may;
}

bool limit_has_left_out(void)
{
	return atomic_load_explicit(&sites_left_out, memory_order_relaxed) != 0;
}

bool limit_take_left_out(bool any, struct left_out *ret)
{
	uint64_t now = now_ns();

	ret->n = 0;
	if (!limit_has_left_out())
		return false;
	(void)pthread_mutex_lock(&lock);
	for (size_t i = 0; !ret->n && i < SITES; i++) {
		if (!limits[i].out.n)
			continue;
		refill(&limits[i], now);
		/* Not quiet yet: a message that is written tells it itself. */
		if (any || limits[i].tokens > 1)
			take(&limits[i], ret);
	}
	(void)pthread_mutex_unlock(&lock);
	return ret->n != 0;
}

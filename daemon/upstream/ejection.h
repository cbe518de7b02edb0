/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Passive ejection: whether one address of a server is worth a try, judged by what became of
 * earlier ones. No connection is made to find out: sessions are the test.
 *
 *   UP       tried as usual. `max_fails` failed tries within `fail_timeout` make it DOWN
 *   DOWN     passed over for a time that is fail_timeout at first and doubles with each failed
 *            probe, up to EJECTION_GROWTH times fail_timeout. When it is over, the next session
 *            that would get the address is its probe
 *   PROBING  that session is on its way; all others still pass the address over
 *
 * Whoever connects makes it UP again: the probe, a session that had begun before, or one that tried
 * it because nobody else was left. Failures of sessions that are not the probe change nothing
 * while it is DOWN or PROBING.
 *
 * All functions need the lock of the pool, but ejection_answered(), and ejection_abandoned() of
 * what is no probe.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pool_config;

/* The longest time for which an address is passed over, as a multiple of fail_timeout. */
#define EJECTION_GROWTH 8

enum ejection_state {
	EJECTION_UP,
	EJECTION_DOWN,
	EJECTION_PROBING,
	_EJECTION_STATE_MAX,
};
extern const char *const ejection_state_str[_EJECTION_STATE_MAX];

/* How promising an address is, the best first. */
enum ejection_rank {
	RANK_GOOD,
	/* A session has waited for its answer for a while, and no other has had one meanwhile: it
	 * may hang. Others of its kind are better, but it is no reason to use a backup. */
	RANK_DOUBTFUL,
	RANK_PASSED_OVER,
};

struct ejection {
	atomic_uchar state; /* written under the lock, read by anybody */
	/* Since when a try waits for its answer, and when the last answer came; monotonic ns. */
	atomic_uint_fast64_t asked_ns, answered_ns;
	uint64_t window_ns; /* UP: when the first of `fails` was */
	uint64_t until_ns;  /* DOWN: when a session may try it again */
	uint64_t time_ns;   /* DOWN, PROBING: how long it was passed over last */
	unsigned int fails; /* that counted, in a row */
	unsigned int times; /* it was passed over, since the start */
	int err;            /* positive errno of the last failure; 0: none */
};

/* Everything about an address that is new. */
void ejection_reset(struct ejection *e);
/* Whether the state may become that. */
bool ejection_may_enter(enum ejection_state from, enum ejection_state next);
/* `probes`: the asker may be the probe of one whose time is over. */
enum ejection_rank ejection_rank(const struct ejection *e, const struct pool_config *c, bool probes,
				 uint64_t now);
/* A session will try it. True: it is the probe. */
bool ejection_asked(struct ejection *e, uint64_t now);
/* A try has failed with `err`. True: from now on it is passed over, for time_ns. */
bool ejection_failed(struct ejection *e, const struct pool_config *c, bool probe, int err,
		     uint64_t now);
/* A try that began at `began` was given up before there was a result. */
void ejection_abandoned(struct ejection *e, bool probe, uint64_t began, uint64_t now);
/* A try has succeeded. True: it was passed over until now. */
bool ejection_succeeded(struct ejection *e, uint64_t now);
/* The same of an address that is UP, without a lock. False: ejection_succeeded() must be called. */
bool ejection_answered(struct ejection *e, uint64_t now);

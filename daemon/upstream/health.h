/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The health of one address of a server: whether it is worth a try. Sessions say so (passive
 * ejection: no connection is made to find out), and checks, where the pool has a health_check.
 *
 *   UP         tried as usual. `max_fails` failed tries of sessions within `fail_timeout` make it
 *              EJECTED
 *   UNCHECKED  the same; the first check decides
 *   FALLING    the same; checks have begun to fail, fewer in a row than health_fall
 *   DOWN       health_fall checks have failed in a row: sessions pass it over, whatever becomes of
 *              those that try it because nobody else is left
 *   RISING     the same; checks have begun to pass, fewer in a row than health_rise
 *   EJECTED    passed over for a time that is fail_timeout at first and doubles with each failed
 *              probe, up to HEALTH_GROWTH times fail_timeout. When it is over, the next session
 *              that would get the address is its probe
 *   PROBING    that session is on its way; all others still pass the address over
 *
 * Whoever connects to one that is EJECTED or PROBING makes it UP again: the probe, a session that
 * had begun before, or one that tried it because nobody else was left. So do health_rise checks.
 * Failures of sessions that are not the probe change nothing while it is passed over.
 *
 * All functions need the lock of the pool, but health_answered(), and health_abandoned() of what is
 * no probe.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pool_config;

/* The longest time for which an address is ejected, as a multiple of fail_timeout. */
#define HEALTH_GROWTH 8

enum health_state {
	HEALTH_UP, /* of what is all zero */
	HEALTH_UNCHECKED,
	HEALTH_FALLING,
	HEALTH_DOWN,
	HEALTH_RISING,
	HEALTH_EJECTED,
	HEALTH_PROBING,
	_HEALTH_STATE_MAX,
};
extern const char *const health_state_str[_HEALTH_STATE_MAX];

/* How promising an address is, the best first. */
enum health_rank {
	RANK_GOOD,
	/* A session has waited for its answer for a while, and no other has had one meanwhile: it
	 * may hang. Others of its kind are better, but it is no reason to use a backup. */
	RANK_DOUBTFUL,
	RANK_PASSED_OVER,
};

/* What became of a check. */
enum check_outcome {
	CHECK_PASSED,
	CHECK_REFUSED, /* it could not be connected */
	CHECK_TIMEOUT,
	CHECK_CLOSED,  /* the connection ended or broke before the answer was there */
	CHECK_INVALID, /* the answer was none */
	CHECK_STATUS,  /* HTTP: another status than expected */
	_CHECK_OUTCOME_MAX,
};
extern const char *const check_outcome_str[_CHECK_OUTCOME_MAX];

#define CHECK_WORDS_MAX 96

struct check_result {
	enum check_outcome outcome;
	uint64_t at_ns, took_ns;     /* when it was known, and how long that took */
	char words[CHECK_WORDS_MAX]; /* "HTTP status 503, expected 200-399"; "": there was none */
};

struct health {
	atomic_uchar state; /* written under the lock, read by anybody */
	/* Since when a try waits for its answer, and when the last answer came; monotonic ns. */
	atomic_uint_fast64_t asked_ns, answered_ns;
	uint64_t window_ns;        /* when the first of `fails` was */
	uint64_t until_ns;         /* EJECTED: when a session may try it again */
	uint64_t time_ns;          /* EJECTED, PROBING: how long it was passed over last */
	unsigned int fails;        /* of sessions that counted, in a row */
	unsigned int times;        /* it was ejected, since the start */
	int err;                   /* positive errno of the last failed try; 0: none */
	unsigned int row;          /* checks with the same result, since it was ejected or began */
	struct check_result check; /* the last one */
};

/* Everything about an address that is new. */
void health_reset(struct health *h, const struct pool_config *c);
/* It begins anew, with what was counted. */
void health_restart(struct health *h, const struct pool_config *c);
/* From now on it goes by `c`, and no longer by another fail_timeout (ns; neither is 0): what has
 * been passed over for too many failures is so no longer than that has it. */
void health_follow(struct health *h, const struct pool_config *c, uint64_t fail_timeout_was);
/* Whether the state may become that. */
bool health_may_enter(enum health_state from, enum health_state next);
enum health_state health_state_of(const struct health *h);
/* Whether sessions try it as usual. */
bool health_is_usable(const struct health *h);
/* `probes`: the asker may be the probe of one whose time is over. */
enum health_rank health_rank(const struct health *h, const struct pool_config *c, bool probes,
			     uint64_t now);
/* A session will try it. True: it is the probe. */
bool health_asked(struct health *h, uint64_t now);
/* A try has failed with `err`. True: from now on it is ejected, for time_ns. */
bool health_failed(struct health *h, const struct pool_config *c, bool probe, int err,
		   uint64_t now);
/* A try that began at `began` was given up before there was a result. */
void health_abandoned(struct health *h, bool probe, uint64_t began, uint64_t now);
/* A try has succeeded. True: it was ejected until now. */
bool health_succeeded(struct health *h, uint64_t now);
/* The same of an address that is not ejected, without a lock. False: health_succeeded() must be
 * called. */
bool health_answered(struct health *h, uint64_t now);
/* A check is over. True: the state has changed. */
bool health_checked(struct health *h, const struct pool_config *c, const struct check_result *r);

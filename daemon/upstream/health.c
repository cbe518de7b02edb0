// SPDX-License-Identifier: GPL-2.0-or-later
#include "health.h"

#include <assert.h>

#include "../config/config.h"

/* How long an answer may take before others are asked instead: with connect_timeout of seconds
 * hundreds of sessions could begin to wait for a server that hangs before the first has failed. */
#define PATIENCE_NS (250 * NSEC_PER_MSEC)

const char *const health_state_str[_HEALTH_STATE_MAX] = {
    [HEALTH_UP] = "up",           [HEALTH_UNCHECKED] = "unchecked", [HEALTH_FALLING] = "going_down",
    [HEALTH_DOWN] = "down",       [HEALTH_RISING] = "going_up",     [HEALTH_EJECTED] = "ejected",
    [HEALTH_PROBING] = "probing",
};

const char *const check_outcome_str[_CHECK_OUTCOME_MAX] = {
    [CHECK_PASSED] = "passed", [CHECK_REFUSED] = "refused", [CHECK_TIMEOUT] = "timeout",
    [CHECK_CLOSED] = "closed", [CHECK_INVALID] = "invalid", [CHECK_STATUS] = "status",
};

#define TO(state) (1u << HEALTH_##state)
static const uint8_t next_states[_HEALTH_STATE_MAX] = {
    [HEALTH_UP] = TO(FALLING) | TO(DOWN) | TO(EJECTED),
    [HEALTH_UNCHECKED] = TO(UP) | TO(DOWN) | TO(EJECTED),
    [HEALTH_FALLING] = TO(UP) | TO(DOWN) | TO(EJECTED),
    [HEALTH_DOWN] = TO(RISING) | TO(UP),
    [HEALTH_RISING] = TO(DOWN) | TO(UP),
    [HEALTH_EJECTED] = TO(PROBING) | TO(UP) | TO(DOWN),
    [HEALTH_PROBING] = TO(EJECTED) | TO(UP) | TO(DOWN),
};
#undef TO

bool health_may_enter(enum health_state from, enum health_state next)
{
	return next_states[from] >> next & 1;
}

enum health_state health_state_of(const struct health *h)
{
	return (enum health_state)atomic_load_explicit(&h->state, memory_order_relaxed);
}

/* The only place where the state changes; health_restart() begins another one. */
static void enter(struct health *h, enum health_state next)
{
	assert(health_may_enter(health_state_of(h), next));
	atomic_store_explicit(&h->state, (unsigned char)next, memory_order_relaxed);
}

static uint64_t load(const atomic_uint_fast64_t *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
}

static void store(atomic_uint_fast64_t *at, uint64_t value)
{
	atomic_store_explicit(at, value, memory_order_relaxed);
}

static bool is_checked(const struct pool_config *c)
{
	return c->health_check != HEALTH_CHECK_NONE;
}

void health_restart(struct health *h, const struct pool_config *c)
{
	atomic_store_explicit(&h->state, is_checked(c) ? HEALTH_UNCHECKED : HEALTH_UP,
			      memory_order_relaxed);
	store(&h->asked_ns, 0);
	store(&h->answered_ns, 0);
	h->window_ns = h->until_ns = h->time_ns = 0;
	h->fails = h->row = 0;
}

void health_reset(struct health *h, const struct pool_config *c)
{
	health_restart(h, c);
	h->times = 0;
	h->err = 0;
	h->check = (struct check_result){0};
}

static bool is_ejected(enum health_state state)
{
	return state == HEALTH_EJECTED || state == HEALTH_PROBING;
}

/* It has grown with each failed probe, and has so of the new fail_timeout. One that is longer now
 * does not put off what is due. */
static void take_time(struct health *h, uint64_t fail_timeout, uint64_t was)
{
	uint64_t time = h->time_ns / was * fail_timeout;

	if (time < h->time_ns)
		h->until_ns -= MIN(h->time_ns - time, h->until_ns);
	h->time_ns = time;
}

void health_follow(struct health *h, const struct pool_config *c, uint64_t fail_timeout_was)
{
	if (!is_ejected(health_state_of(h)))
		return;
	if (!c->max_fails)
		health_restart(h, c);
	else if (c->fail_timeout != fail_timeout_was)
		take_time(h, c->fail_timeout, fail_timeout_was);
}

static bool is_usable(enum health_state state)
{
	return state == HEALTH_UP || state == HEALTH_UNCHECKED || state == HEALTH_FALLING;
}

bool health_is_usable(const struct health *h)
{
	return is_usable(health_state_of(h));
}

/* ---- what sessions say ------------------------------------------------------------------ */

static bool is_waiting(const struct health *h)
{
	return load(&h->asked_ns) > load(&h->answered_ns);
}

/* Clocks of two workers differ by the length of a turn: what is ahead of ours is now. */
static bool is_past(uint64_t then, uint64_t span, uint64_t now)
{
	return now > then && now - then > span;
}

static bool is_doubtful(const struct health *h, const struct pool_config *c, uint64_t now)
{
	return c->max_fails && is_waiting(h) &&
	       is_past(load(&h->asked_ns), MIN(PATIENCE_NS, c->connect_timeout / 2), now);
}

enum health_rank health_rank(const struct health *h, const struct pool_config *c, bool probes,
			     uint64_t now)
{
	enum health_state state = health_state_of(h);

	if (is_usable(state))
		return is_doubtful(h, c, now) ? RANK_DOUBTFUL : RANK_GOOD;
	if (state == HEALTH_EJECTED && probes && now >= h->until_ns)
		return RANK_GOOD;
	return RANK_PASSED_OVER;
}

bool health_asked(struct health *h, uint64_t now)
{
	if (!is_waiting(h))
		store(&h->asked_ns, now);
	if (health_state_of(h) != HEALTH_EJECTED || now < h->until_ns)
		return false;
	enter(h, HEALTH_PROBING);
	return true;
}

static void eject(struct health *h, uint64_t time, uint64_t now)
{
	enter(h, HEALTH_EJECTED);
	h->time_ns = time;
	h->until_ns = now + time;
	h->times++;
	h->row = 0;
}

bool health_failed(struct health *h, const struct pool_config *c, bool probe, int err, uint64_t now)
{
	enum health_state state = health_state_of(h);

	h->err = err;
	store(&h->answered_ns, now);
	if (state == HEALTH_PROBING && probe) {
		h->fails++;
		eject(h, MIN(h->time_ns * 2, c->fail_timeout * HEALTH_GROWTH), now);
		return true;
	}
	if (!is_usable(state) || !c->max_fails)
		return false;
	if (!h->fails || is_past(h->window_ns, c->fail_timeout, now)) {
		h->window_ns = now;
		h->fails = 0;
	}
	if (++h->fails < c->max_fails)
		return false;
	eject(h, c->fail_timeout, now);
	return true;
}

void health_abandoned(struct health *h, bool probe, uint64_t began, uint64_t now)
{
	/* The wait that this try began is nobody's now; another's goes on. */
	if (load(&h->asked_ns) == began)
		store(&h->answered_ns, now);
	if (!probe || health_state_of(h) != HEALTH_PROBING)
		return;
	/* Nothing is known: the next session may find out. */
	enter(h, HEALTH_EJECTED);
	h->until_ns = now;
}

/* What sessions have said against it is over. */
static void come_back(struct health *h)
{
	enter(h, HEALTH_UP);
	h->fails = 0;
	h->time_ns = 0;
}

bool health_succeeded(struct health *h, uint64_t now)
{
	store(&h->answered_ns, now);
	if (!is_ejected(health_state_of(h)))
		return false;
	come_back(h);
	return true;
}

bool health_answered(struct health *h, uint64_t now)
{
	if (is_ejected(health_state_of(h)))
		return false;
	if (is_waiting(h))
		store(&h->answered_ns, now);
	return true;
}

/* ---- what checks say -------------------------------------------------------------------- */

static void passed(struct health *h, const struct pool_config *c)
{
	switch (health_state_of(h)) {
	case HEALTH_UNCHECKED:
	case HEALTH_FALLING:
		enter(h, HEALTH_UP);
		break;
	case HEALTH_DOWN:
		if (h->row < c->health_rise)
			enter(h, HEALTH_RISING);
		else
			come_back(h);
		break;
	case HEALTH_RISING:
	case HEALTH_EJECTED:
	case HEALTH_PROBING:
		if (h->row >= c->health_rise)
			come_back(h);
		break;
	default:
		break;
	}
}

static void did_not_pass(struct health *h, const struct pool_config *c)
{
	switch (health_state_of(h)) {
	case HEALTH_UNCHECKED:
	case HEALTH_RISING:
		enter(h, HEALTH_DOWN);
		break;
	case HEALTH_UP:
		enter(h, h->row < c->health_fall ? HEALTH_FALLING : HEALTH_DOWN);
		break;
	case HEALTH_FALLING:
	case HEALTH_EJECTED:
	case HEALTH_PROBING:
		if (h->row >= c->health_fall)
			enter(h, HEALTH_DOWN);
		break;
	default:
		break;
	}
}

bool health_checked(struct health *h, const struct pool_config *c, const struct check_result *r)
{
	enum health_state before = health_state_of(h);
	bool same = (h->check.outcome == CHECK_PASSED) == (r->outcome == CHECK_PASSED);

	h->row = same ? h->row + 1 : 1;
	h->check = *r;
	if (r->outcome == CHECK_PASSED)
		passed(h, c);
	else
		did_not_pass(h, c);
	return health_state_of(h) != before;
}

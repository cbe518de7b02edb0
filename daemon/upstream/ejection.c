// SPDX-License-Identifier: GPL-2.0-or-later
#include "ejection.h"

#include <assert.h>

#include "../config/config.h"

/* How long an answer may take before others are asked instead: with connect_timeout of seconds
 * hundreds of sessions could begin to wait for a server that hangs before the first has failed. */
#define PATIENCE_NS (250 * NSEC_PER_MSEC)

const char *const ejection_state_str[_EJECTION_STATE_MAX] = {
    [EJECTION_UP] = "up",
    [EJECTION_DOWN] = "down",
    [EJECTION_PROBING] = "probing",
};

#define TO(state) (1u << EJECTION_##state)
static const uint8_t next_states[_EJECTION_STATE_MAX] = {
    [EJECTION_UP] = TO(DOWN),
    [EJECTION_DOWN] = TO(PROBING) | TO(UP),
    [EJECTION_PROBING] = TO(DOWN) | TO(UP),
};
#undef TO

bool ejection_may_enter(enum ejection_state from, enum ejection_state next)
{
	return next_states[from] >> next & 1;
}

static enum ejection_state state_of(const struct ejection *e)
{
	return (enum ejection_state)atomic_load_explicit(&e->state, memory_order_relaxed);
}

/* The only place where the state changes; ejection_reset() begins another one. */
static void enter(struct ejection *e, enum ejection_state next)
{
	assert(ejection_may_enter(state_of(e), next));
	atomic_store_explicit(&e->state, (unsigned char)next, memory_order_relaxed);
}

static uint64_t load(const atomic_uint_fast64_t *at)
{
	return atomic_load_explicit(at, memory_order_relaxed);
}

static void store(atomic_uint_fast64_t *at, uint64_t value)
{
	atomic_store_explicit(at, value, memory_order_relaxed);
}

void ejection_reset(struct ejection *e)
{
	atomic_store_explicit(&e->state, EJECTION_UP, memory_order_relaxed);
	store(&e->asked_ns, 0);
	store(&e->answered_ns, 0);
	e->window_ns = e->until_ns = e->time_ns = 0;
	e->fails = e->times = 0;
	e->err = 0;
}

static bool is_waiting(const struct ejection *e)
{
	return load(&e->asked_ns) > load(&e->answered_ns);
}

/* Clocks of two workers differ by the length of a turn: what is ahead of ours is now. */
static bool is_past(uint64_t then, uint64_t span, uint64_t now)
{
	return now > then && now - then > span;
}

enum ejection_rank ejection_rank(const struct ejection *e, const struct pool_config *c, bool probes,
				 uint64_t now)
{
	switch (state_of(e)) {
	case EJECTION_UP:
		return c->max_fails && is_waiting(e) &&
			       is_past(load(&e->asked_ns), MIN(PATIENCE_NS, c->connect_timeout / 2),
				       now)
			   ? RANK_DOUBTFUL
			   : RANK_GOOD;
	case EJECTION_DOWN:
		return probes && now >= e->until_ns ? RANK_GOOD : RANK_PASSED_OVER;
	default:
		return RANK_PASSED_OVER;
	}
}

bool ejection_asked(struct ejection *e, uint64_t now)
{
	if (!is_waiting(e))
		store(&e->asked_ns, now);
	if (state_of(e) != EJECTION_DOWN || now < e->until_ns)
		return false;
	enter(e, EJECTION_PROBING);
	return true;
}

static void pass_over(struct ejection *e, uint64_t time, uint64_t now)
{
	enter(e, EJECTION_DOWN);
	e->time_ns = time;
	e->until_ns = now + time;
	e->times++;
}

bool ejection_failed(struct ejection *e, const struct pool_config *c, bool probe, int err,
		     uint64_t now)
{
	enum ejection_state state = state_of(e);

	e->err = err;
	store(&e->answered_ns, now);
	if (state == EJECTION_PROBING && probe) {
		e->fails++;
		pass_over(e, MIN(e->time_ns * 2, c->fail_timeout * EJECTION_GROWTH), now);
		return true;
	}
	if (state != EJECTION_UP || !c->max_fails)
		return false;
	if (!e->fails || is_past(e->window_ns, c->fail_timeout, now)) {
		e->window_ns = now;
		e->fails = 0;
	}
	if (++e->fails < c->max_fails)
		return false;
	pass_over(e, c->fail_timeout, now);
	return true;
}

void ejection_abandoned(struct ejection *e, bool probe, uint64_t began, uint64_t now)
{
	/* The wait that this try began is nobody's now; another's goes on. */
	if (load(&e->asked_ns) == began)
		store(&e->answered_ns, now);
	if (!probe || state_of(e) != EJECTION_PROBING)
		return;
	/* Nothing is known: the next session may find out. */
	enter(e, EJECTION_DOWN);
	e->until_ns = now;
}

bool ejection_succeeded(struct ejection *e, uint64_t now)
{
	store(&e->answered_ns, now);
	if (state_of(e) == EJECTION_UP)
		return false;
	enter(e, EJECTION_UP);
	e->fails = 0;
	e->time_ns = 0;
	return true;
}

bool ejection_answered(struct ejection *e, uint64_t now)
{
	if (state_of(e) != EJECTION_UP)
		return false;
	if (is_waiting(e))
		store(&e->answered_ns, now);
	return true;
}

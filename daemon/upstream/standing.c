// SPDX-License-Identifier: GPL-2.0-or-later
#include "standing.h"

#include "../log.h"

const char *const server_mode_str[_SERVER_MODE_MAX] = {
    [MODE_READY] = "ready",
    [MODE_DRAIN] = "drain",
    [MODE_MAINT] = "maint",
};

/* ---- operators -------------------------------------------------------------------------- */

/* From when sessions come, whatever it was since. */
static void begin_all_slowly(struct server *s, uint64_t now)
{
	for (unsigned int i = 0; i < s->n_slots; i++)
		server_begin_slowly(s, &s->targets[i], now);
	s->rested = false;
}

bool server_set_mode(struct server *s, enum server_mode mode, uint64_t now)
{
	enum server_mode was;

	(void)pthread_mutex_lock(&s->lock->mutex);
	was = s->mode;
	s->mode = mode;
	if (mode != was && mode != MODE_READY)
		s->losses++;
	s->rested |= was == MODE_MAINT;
	/* What was known of it is old. */
	for (unsigned int i = 0; was == MODE_MAINT && mode != was && i < s->n_slots; i++)
		health_restart(&s->targets[i].health, &s->pool);
	if (mode == MODE_READY && s->rested)
		begin_all_slowly(s, now);
	(void)pthread_mutex_unlock(&s->lock->mutex);
	if (mode != was)
		log_about(LOG_LVL_INFO,
			  LOG_ABOUT(.event = "server", .pool = s->pool_name, .server = s->name,
				    .state = server_mode_str[mode]),
			  "server %s/%s: %s, as an operator wants", s->pool_name, s->name,
			  server_mode_str[mode]);
	return mode != was && mode != MODE_READY;
}

void server_set_weight(struct server *s, unsigned int weight)
{
	unsigned int was;

	(void)pthread_mutex_lock(&s->lock->mutex);
	was = s->weight;
	s->weight = weight;
	(void)pthread_mutex_unlock(&s->lock->mutex);
	if (weight != was)
		log_about(LOG_LVL_INFO,
			  LOG_ABOUT(.event = "server", .pool = s->pool_name, .server = s->name),
			  "server %s/%s: weight %u, as an operator wants; it was %u", s->pool_name,
			  s->name, weight, was);
}

/* ---- its share ------------------------------------------------------------------------- */

bool server_has_room(const struct server *s)
{
	return s->mode == MODE_READY &&
	       (!s->config.max_sessions || s->active < s->config.max_sessions);
}

unsigned int server_share(const struct server *s, uint64_t now)
{
	uint64_t span = s->pool.slow_start;
	unsigned int best = 0;

	if (!target_is_new(s->back_ns, span, now))
		return s->weight * TARGET_WHOLE;
	for (uint64_t rest = s->used; rest; rest &= rest - 1) {
		const struct target *t = &s->targets[__builtin_ctzll(rest)];

		if (health_is_usable(&t->health))
			best = MAX(best, target_share(t, span, now));
	}
	/* Where all are passed over, none is new. */
	return s->weight * (best ? best : TARGET_WHOLE);
}

/* ---- what it is now --------------------------------------------------------------------- */

/* Of several addresses the best one counts. */
static const struct target *best_target(const struct server *s)
{
	static const uint8_t order[_HEALTH_STATE_MAX] = {
	    [HEALTH_UP] = 0,      [HEALTH_FALLING] = 1, [HEALTH_UNCHECKED] = 2, [HEALTH_RISING] = 3,
	    [HEALTH_PROBING] = 4, [HEALTH_EJECTED] = 5, [HEALTH_DOWN] = 6,
	};
	const struct target *best = NULL;

	for (uint64_t rest = s->used; rest; rest &= rest - 1) {
		const struct target *t = &s->targets[__builtin_ctzll(rest)];

		if (!best ||
		    order[health_state_of(&t->health)] < order[health_state_of(&best->health)])
			best = t;
	}
	return best;
}

const char *server_state(const struct server *s)
{
	const struct target *best = best_target(s);

	if (s->mode != MODE_READY)
		return server_mode_str[s->mode];
	return best ? health_state_str[health_state_of(&best->health)] : "unresolved";
}

bool server_is_up(const struct server *s)
{
	const struct target *best = best_target(s);

	return s->mode == MODE_READY && best && health_is_usable(&best->health);
}

const struct target *server_culprit(const struct server *s)
{
	const struct target *best = best_target(s);

	return s->mode == MODE_READY && best && health_state_of(&best->health) != HEALTH_UP ? best
											    : NULL;
}

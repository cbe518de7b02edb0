// SPDX-License-Identifier: GPL-2.0-or-later
#include "silence.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "loop.h"
#include "session.h"
#include "tcpstate.h"

/* Looks in the time of one limit: what peers take is seen only by looking. */
#define LOOKS 8
/* The clocks of lanes and of TCP's own times are coarse: a tick of at most 10 ms. */
#define TICK_NS (10 * NSEC_PER_MSEC)

static uint64_t step_of(uint64_t limit)
{
	return limit / LOOKS + 1;
}

uint64_t silence_begin(struct session *s, uint64_t limit)
{
	s->moved_ns = s->home->loop->now;
	s->outstanding = true;
	return step_of(limit);
}

/*
 * What one peer has taken so far, and whether there is more for it. With *when: at what time it
 * took the last of that, or later: a window probe is acknowledged, too. 0 or -1.
 */
static int look_at(struct session *s, const struct conn *c, uint64_t *taken, uint64_t *when)
{
	uint64_t now = s->home->loop->now, age;
	struct tcp_state state;
	int queued = 0;

	*when = now;
	if (!c->tcp) {
		/* What is queued is what the peer has not read. */
		if (ioctl(c->fd, SIOCOUTQ, &queued) < 0)
			return -1;
		*taken = (uint64_t)queued;
		s->outstanding |= queued > 0;
		return 0;
	}
	if (tcp_state_read(c->fd, &state) < 0)
		return -1;
	age = state.ack_age * NSEC_PER_MSEC;
	*taken = state.acked;
	*when = now - MIN(age, now);
	s->outstanding |= state.queued > 0;
	return 0;
}

static void look(struct session *s, enum silence_of of)
{
	s->outstanding = false;
	for (int i = 0; i < 2; i++) {
		uint64_t taken = 0, when = 0;

		if (!s->conns[i] || s->conns[i]->fd < 0 ||
		    look_at(s, s->conns[i], &taken, &when) < 0 || taken == s->taken[i])
			continue;
		s->taken[i] = taken;
		if (of == SILENCE_BOTH || i == SIDE_BACKEND)
			s->moved_ns = MAX(s->moved_ns, when);
	}
	s->outstanding |= splice_is_unread(&s->splice);
	s->moved_ns = MAX(s->moved_ns, session_active_ns(s));
}

uint64_t silence_left(struct session *s, uint64_t limit, enum silence_of of)
{
	uint64_t step = step_of(limit), whole = limit + MIN(TICK_NS, step / 2);
	uint64_t now = s->home->loop->now, active = session_active_ns(s), silent;

	/* Nothing is outstanding, nothing has moved since: nobody can have taken anything. */
	if (active > s->moved_ns) {
		s->moved_ns = active;
		s->outstanding = true;
	}
	silent = now - MIN(s->moved_ns, now);
	if (silent < step)
		return step - silent;
	if (s->outstanding || silent >= whole) {
		look(s, of);
		silent = now - MIN(s->moved_ns, now);
	}
	if (silent >= whole)
		return 0;
	return MIN(step, whole - silent);
}

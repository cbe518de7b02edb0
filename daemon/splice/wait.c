// SPDX-License-Identifier: GPL-2.0-or-later
#include "wait.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "../stats.h"
#include "../util.h"

#define WAIT_MIN_NS (100 * NSEC_PER_USEC)
#define WAIT_MAX_NS (250 * NSEC_PER_MSEC)
/* Waits from this on are left to the target's word, and to a timer in case that it never comes. */
#define WAIT_SIGNAL_NS (16 * NSEC_PER_MSEC)
#define WAIT_LONG_NS   (30 * NSEC_PER_SEC)

static void on_wait(struct timer *t)
{
	struct stream *s = container_of(t, struct stream, wait);

	stat_inc(&s->splice->by->stats->looks);
	stream_again(s);
}

static void wait_for(struct stream *s, uint64_t ns)
{
	if (s->splice->ended)
		return;
	s->waiting = true;
	s->backoff = MAX(WAIT_MIN_NS, MIN(ns, s->signal ? WAIT_LONG_NS : WAIT_MAX_NS));
	s->wait.fire = on_wait;
	loop_timer_set(s->splice->by->loop, &s->wait, stream_now(s) + s->backoff);
	stream_watch(s);
}

void stream_wait(struct stream *s, bool restart)
{
	s->awaited = 0;
	s->signal = false;
	wait_for(s, s->waiting && !restart ? s->backoff * 2 : WAIT_MIN_NS);
}

/*
 * TCP_NOTSENT_LOWAT: epoll says EPOLLOUT when less than half of the value is unsent
 * (tcp_stream_memory_free()), which is what a pause waits for; without it a write queue that has
 * room counts as ready whatever in it is unsent. 0 is the system's value again. Where it fails
 * there is the timer.
 */
static void set_lowat(const struct stream *s, uint64_t low)
{
	uint32_t value = (uint32_t)MIN(low * 2, (uint64_t)INT32_MAX);

	if (s->target && s->target->tcp && s->target->fd >= 0)
		(void)setsockopt(s->target->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &value,
				 sizeof(value));
}

/* Makes sure that the target's word comes: epoll looks at it anew, and says at once what it is.
 * Where it does not take that there is the timer, as before there was a word to wait for. */
static void ask_for_signal(struct stream *s, uint64_t low)
{
	if (!s->signal && low)
		set_lowat(s, low);
	s->lowat |= low != 0;
	s->signal = true;
	stream_watch(s);
	if (s->splice->ended || s->target->fd < 0 || loop_ask(s->splice->by->loop, s->target) == 0)
		return;
	s->signal = false;
	wait_for(s, s->backoff);
}

void stream_roused(struct stream *s)
{
	if (!s->waiting || !s->signal || s->backoff < WAIT_SIGNAL_NS)
		return;
	s->awaited = 0;
	s->backoff = WAIT_MIN_NS;
}

void stream_wait_drain(struct stream *s, uint64_t awaited, uint64_t low)
{
	uint64_t ns = WAIT_MIN_NS;

	/* At the rate of the last wait, and never more than twice as long as that one. */
	if (s->waiting && s->awaited > awaited)
		ns = MIN(s->backoff * 2, s->backoff * awaited / (s->awaited - awaited));
	else if (s->waiting && s->awaited)
		ns = s->backoff * 2;
	s->awaited = awaited;
	wait_for(s, ns);
	if (s->waiting && s->backoff >= WAIT_SIGNAL_NS)
		ask_for_signal(s, low);
}

void stream_unwait(struct stream *s)
{
	if (!s->waiting)
		return;
	s->waiting = s->signal = false;
	loop_timer_cancel(s->splice->by->loop, &s->wait);
	if (s->lowat)
		set_lowat(s, 0);
	s->lowat = false;
}

/* After a pump that its timer has brought about: a wait that it neither renewed nor ended goes on.
 */
void stream_pumped(struct stream *s)
{
	if (s->waiting && !timer_is_set(&s->wait) && !task_is_queued(&s->again))
		wait_for(s, s->backoff * 2);
}

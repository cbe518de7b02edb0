// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel.h"

#include <errno.h>

#include "../log.h"
#include "../session.h"
#include "../worker.h"
#include "budget.h"
#include "kernel-parts.h"
#include "tcpstate.h"

/* ---- facts ------------------------------------------------------------------------------ */

int kernel_backlog(const struct stream *s, uint64_t *backlog, uint64_t *unsent)
{
	struct tcp_state state;
	uint64_t redirected = stream_redirected(s);
	int err = tcp_state_read(s->target->fd, &state);

	if (err)
		return err;
	*backlog =
	    backlog_of(s->target->sent, redirected, state.acked + state.queued, s->target->base);
	*unsent = *backlog + state.unsent;
	return 0;
}

int kernel_accounted(const struct stream *s, bool *ret)
{
	struct tcp_state state;
	int err = tcp_state_read(s->source->fd, &state);

	if (err)
		return err;
	*ret = stream_complete(state.received, s->source->received, stream_redirected(s));
	/* Closed, and all its bytes are here, but no FIN: a reset whose error another call was
	 * told. */
	if (!*ret && state.closed && state.received == s->source->received + stream_redirected(s))
		return -ECONNRESET;
	return 0;
}

uint64_t kernel_passed(const struct stream *s)
{
	return __atomic_load_n(&s->lane->passed, __ATOMIC_SEQ_CST);
}

/* ---- back to the copy engine ------------------------------------------------------------ */

enum copy_reason kernel_reason(int err)
{
	switch (err) {
	case -E2BIG:
	case -ENOSPC:
	case -ENOMEM:
		return COPY_MAP_FULL;
	case -EOPNOTSUPP:
		return COPY_HALF_CLOSED;
	default:
		return COPY_REFUSED;
	}
}

void kernel_give_up(struct stream *s, enum copy_reason why)
{
	s->engine = s->hand;
	s->why_copy = why;
	/* A half-closed stream is a case only if it then moves bytes: see session_end(). */
	s->released_at = s->copied;
	if (why != COPY_HALF_CLOSED)
		stat_inc(&s->session->worker->stats.copy_reasons[why]);
}

void kernel_to_copy(struct stream *s)
{
	s->engine = s->hand;
	stream_unwait(s);
	stream_enter(s, STREAM_COPY);
	s->source->readable = true;
	s->target->writable = true;
	stream_watch(s);
	stream_again(s);
}

void kernel_abandon(struct stream *s)
{
	if (s->state == STREAM_ENDING)
		return; /* all of it is accounted for */
	if (s->engine == &engine_kernel)
		kernel_to_copy(s);
	s->why_copy = COPY_HALF_CLOSED;
}

int kernel_release(struct stream *s)
{
	int err;

	switch (s->state) {
	case STREAM_COPY:
		/* Not to be engaged later either. */
		if (s->why_copy == COPY_NONE && s->session->adopted)
			kernel_give_up(s, COPY_HALF_CLOSED);
		return 0;
	case STREAM_PAUSED:
		break;
	case STREAM_SERVING:
		return -EAGAIN;
	case STREAM_ENGAGED:
		err = kernel_passed(s) != s->taken ? -EAGAIN : kernel_take_back(s);
		if (err == -EBUSY) {
			kernel_kick(s);
			return -EAGAIN;
		}
		if (err == -EAGAIN)
			kernel_start_serving(s);
		else if (err)
			kernel_taken_badly(s, err);
		if (err)
			return err;
		break;
	default:
		return 0;
	}
	kernel_give_up(s, COPY_HALF_CLOSED);
	kernel_to_copy(s);
	return 0;
}

/* ---- events ----------------------------------------------------------------------------- */

static void engaged(struct stream *s)
{
	struct lane *lane = s->lane;
	bool budgeted = stream_is_budgeted(s);

	if (kernel_passed(s) != s->taken) {
		stream_unwait(s);
		kernel_start_serving(s);
		return;
	}
	if (budgeted && (budget_spent(s) || s->target->fd < 0) && !s->source->fin_seen) {
		budget_revoke(s);
		return;
	}
	if (__atomic_load_n(&lane->pause_wanted, __ATOMIC_ACQUIRE) != lane->pause_seen) {
		kernel_consider_pause(s);
		if (s->state != STREAM_ENGAGED || s->session->state == SESSION_ENDED)
			return;
	}
	if (!s->source->fin_seen || !kernel_proved(s))
		return;
	if (budgeted) {
		/* What the end means is for HTTP to say. */
		kernel_kick(s);
		kernel_to_copy(s);
		return;
	}
	s->eof = true;
	stream_unwait(s);
	stream_enter(s, STREAM_ENDING);
	stream_watch(s);
	stream_finish(s);
}

static void kernel_pump(struct stream *s)
{
	if (s->state == STREAM_ENGAGED)
		engaged(s);
	else if (s->state == STREAM_SERVING)
		kernel_serve(s);
	else if (s->state == STREAM_PAUSED)
		kernel_paused(s);
}

void kernel_event(struct stream *s, const struct lane_event *event)
{
	if (!s->lane)
		return; /* of a budget that is closed */
	if (event->kind == LANE_EVENT_GAP) {
		log_error("session %llu: bytes are missing before sequence number %u",
			  (unsigned long long)s->session->id, s->lane->next_seq);
		session_end(s->session, END_INTEGRITY);
		return;
	}
	/* PAUSED and SERVING have their own wake-ups; a pause they no longer need is forgotten. */
	if (event->kind == LANE_EVENT_PAUSE && s->state != STREAM_ENGAGED)
		__atomic_store_n(&s->lane->pause_seen, s->lane->pause_wanted, __ATOMIC_RELEASE);
	stream_pump(s);
}

const struct engine engine_kernel = {.name = "kernel", .pump = kernel_pump};

// SPDX-License-Identifier: GPL-2.0-or-later
#include "lane.h"

#include <errno.h>

#include "../buffers.h"
#include "../log.h"
#include "../tcpstate.h"
#include "../util.h"
#include "wait.h"

/*
 * How long a stream may miss bytes that TCP says it received before the session is aborted. They
 * are on their way between two queues of one socket, so this is time for a starved machine.
 */
#define PROOF_DEADLINE_NS (5 * NSEC_PER_SEC)

int kernel_backlog(const struct stream *s, uint64_t redirected, uint64_t *backlog, uint64_t *unsent)
{
	struct tcp_state state;
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

uint64_t kernel_window(const struct stream *s)
{
	return buffers_usual(s->source, s->splice->settings->window);
}

bool kernel_stopped(const struct stream *s)
{
	return __atomic_load_n(&s->lane->beyond, __ATOMIC_ACQUIRE) == LANE_STOPPED;
}

uint64_t kernel_passed(const struct stream *s)
{
	return __atomic_load_n(&s->lane->passed, __ATOMIC_SEQ_CST);
}

/* Whether what was handed up may stand behind bytes that the source's peer does not read: how long,
 * only that knows, or the session's own timers. */
static bool stands_behind(const struct stream *s)
{
	const struct stream *other = stream_opposite(s);
	uint64_t backlog, unsent;

	return other->lane && other->target->based &&
	       kernel_backlog(other, stream_redirected(other), &backlog, &unsent) == 0 && backlog;
}

void kernel_await_proof(struct stream *s)
{
	if (!s->wait_since || stands_behind(s))
		s->wait_since = stream_now(s);
	if (stream_now(s) - s->wait_since > PROOF_DEADLINE_NS) {
		log_session(LOG_LVL_ERROR, s->splice->id,
			    ": %llu bytes read and %llu redirected are not what TCP received",
			    (unsigned long long)s->source->received,
			    (unsigned long long)stream_redirected(s));
		stream_corrupt(s);
		return;
	}
	stream_wait(s, false);
}

bool kernel_proved(struct stream *s)
{
	bool complete = false;
	int err = kernel_accounted(s, &complete);

	if (err)
		stream_failed(s, s->source, -err);
	else if (!complete)
		kernel_await_proof(s);
	else
		s->wait_since = 0;
	return !err && complete;
}

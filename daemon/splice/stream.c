// SPDX-License-Identifier: GPL-2.0-or-later
#include "stream.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "../daemon.h"
#include "../ledger.h"
#include "../log.h"
#include "../session.h"
#include "../worker.h"
#include "copy.h"
#include "kernel.h"
#include "maps.h"

/* How much is copied before the kernel has another try: it may be the better by then. */
#define BY_HAND_MAX (UINT64_C(256) << 20)
#define WAIT_MIN_NS (100 * NSEC_PER_USEC)
#define WAIT_MAX_NS (250 * NSEC_PER_MSEC)
/* Waits from this on are left to the target's word, and to a timer in case that it never comes. */
#define WAIT_SIGNAL_NS (16 * NSEC_PER_MSEC)
#define WAIT_LONG_NS   (30 * NSEC_PER_SEC)
/* Waits below this are left to the timer alone: arming EPOLLOUT costs two system calls. */
#define WAIT_ARM_NS (400 * NSEC_PER_USEC)

const char *const stream_state_str[_STREAM_STATE_MAX] = {
    [STREAM_NEW] = "new",         [STREAM_COPY] = "copy",     [STREAM_ENGAGED] = "engaged",
    [STREAM_SERVING] = "serving", [STREAM_PAUSED] = "paused", [STREAM_ENDING] = "ending",
    [STREAM_DONE] = "done",
};

const char *const copy_reason_str[_COPY_REASON_MAX] = {
    [COPY_NONE] = "none",         [COPY_YOUNG] = "young",
    [COPY_CONFIG] = "config",     [COPY_UNAVAILABLE] = "unavailable",
    [COPY_UNIX] = "unix",         [COPY_HALF_CLOSED] = "half_closed",
    [COPY_MAP_FULL] = "map_full", [COPY_REFUSED] = "refused",
};

#define TO(state) (1u << STREAM_##state)
static const uint8_t next_states[_STREAM_STATE_MAX] = {
    [STREAM_NEW] = TO(COPY),
    [STREAM_COPY] = TO(ENGAGED) | TO(ENDING),
    [STREAM_ENGAGED] = TO(SERVING) | TO(PAUSED) | TO(ENDING) | TO(COPY),
    [STREAM_SERVING] = TO(COPY),
    [STREAM_PAUSED] = TO(ENGAGED) | TO(COPY),
    [STREAM_ENDING] = TO(DONE),
    [STREAM_DONE] = 0,
};
#undef TO

bool stream_may_enter(enum stream_state from, enum stream_state next)
{
	return next_states[from] >> next & 1;
}

void stream_enter(struct stream *s, enum stream_state next)
{
	assert(stream_may_enter(s->state, next));
	/* In HTTP a stream is without a source, or a target, between requests. */
	log_debug("session %llu %s: %s -> %s", (unsigned long long)s->session->id,
		  s == &s->session->streams[UP] ? "up" : "down", stream_state_str[s->state],
		  stream_state_str[next]);
	s->state = next;
}

uint64_t stream_redirected(const struct stream *s)
{
	return s->lane ? __atomic_load_n(&s->lane->redirected, __ATOMIC_ACQUIRE) : 0;
}

uint64_t stream_moved_by_kernel(const struct stream *s)
{
	return s->closed ? s->redirected_end
			 : s->redirected_before + stream_redirected(s) - s->lost;
}

uint64_t stream_trimmed(const struct stream *s)
{
	return s->trimmed_before + (s->lane ? s->lane->trimmed : 0);
}

uint64_t stream_moved(const struct stream *s)
{
	return s->copied + stream_moved_by_kernel(s);
}

bool stream_is_budgeted(const struct stream *s)
{
	return s->hand != &engine_copy;
}

bool stream_stays_by_hand(const struct stream *s)
{
	return s->by_hand && s->session->worker->company_ns <= s->by_hand &&
	       s->copied - s->hand_from < BY_HAND_MAX;
}

size_t stream_read_size(const struct stream *s)
{
	size_t usual = s->session->worker->daemon->read_size;

	if (!s->plenty || usual < COPY_READ || !s->target || conn_room(s->target) < LOOP_BUFFER)
		return usual;
	return LOOP_BUFFER;
}

int stream_room(struct stream *s, size_t want)
{
	char *bigger;

	if (s->pending_at) {
		memmove(s->pending, s->pending + s->pending_at, s->pending_len);
		s->pending_at = 0;
	}
	bigger = realloc(s->pending, s->pending_len + want);
	if (!bigger)
		return -ENOMEM;
	s->pending = bigger;
	return 0;
}

int stream_keep(struct stream *s, const char *data, size_t len)
{
	if (stream_room(s, len) < 0)
		return -ENOMEM;
	memcpy(s->pending + s->pending_len, data, len);
	s->pending_len += (uint32_t)len;
	return 0;
}

int stream_put_first(struct stream *s, const void *data, size_t len)
{
	char *all = malloc(len + s->pending_len);

	if (!all)
		return -ENOMEM;
	memcpy(all, data, len);
	if (s->pending_len)
		memcpy(all + len, s->pending + s->pending_at, s->pending_len);
	free(s->pending);
	s->pending = all;
	s->pending_at = 0;
	s->pending_len += (uint32_t)len;
	return 0;
}

void stream_pass(struct stream *s, char **data, size_t *len, bool ended)
{
	if (!s->filter || s->filter->pass(s->filter, data, len, ended))
		return;
	free(s->filter);
	s->filter = NULL;
}

void stream_pump(struct stream *s)
{
	if (s->session->state == SESSION_ENDED)
		return;
	/* HTTP goes on without it: a request whose server is gone still has a client. */
	if (s->target && s->target->failed && !stream_is_budgeted(s))
		return;
	switch (s->state) {
	case STREAM_NEW:
	case STREAM_DONE:
		return;
	case STREAM_ENDING:
		stream_finish(s);
		return;
	default:
		s->engine->pump(s);
	}
}

static void on_wait(struct timer *t)
{
	struct stream *s = container_of(t, struct stream, wait);

	stat_inc(&s->session->worker->stats.looks);
	stream_again(s);
}

static void wait_for(struct stream *s, uint64_t ns)
{
	if (s->session->state == SESSION_ENDED)
		return;
	s->waiting = true;
	s->backoff = MAX(WAIT_MIN_NS, MIN(ns, s->signal ? WAIT_LONG_NS : WAIT_MAX_NS));
	s->wait.fire = on_wait;
	loop_timer_set(&s->session->worker->loop, &s->wait,
		       s->session->worker->loop.now + s->backoff);
	stream_watch(s);
}

void stream_wait(struct stream *s, bool restart)
{
	s->left = 0;
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

/* Makes sure that the target's word comes: epoll looks at it anew, and says at once what it is. */
static void ask_for_signal(struct stream *s, uint64_t low)
{
	int err;

	if (!s->signal && low)
		set_lowat(s, low);
	s->lowat |= low != 0;
	s->signal = true;
	stream_watch(s);
	if (s->session->state == SESSION_ENDED || s->target->fd < 0)
		return;
	err = loop_ask(&s->session->worker->loop, s->target);
	if (err)
		session_fail(s->session, s->target, -err);
}

void stream_roused(struct stream *s)
{
	if (!s->waiting || !s->signal || s->backoff < WAIT_SIGNAL_NS)
		return;
	s->left = 0;
	s->backoff = WAIT_MIN_NS;
}

void stream_wait_drain(struct stream *s, uint64_t left, uint64_t low)
{
	uint64_t ns = WAIT_MIN_NS;

	/* At the rate of the last wait, and never more than twice as long as that one. */
	if (s->waiting && s->left > left)
		ns = MIN(s->backoff * 2, s->backoff * left / (s->left - left));
	else if (s->waiting && s->left)
		ns = s->backoff * 2;
	s->left = left;
	wait_for(s, ns);
	if (s->waiting && s->backoff >= WAIT_SIGNAL_NS)
		ask_for_signal(s, low);
}

void stream_unwait(struct stream *s)
{
	if (!s->waiting)
		return;
	s->waiting = s->signal = false;
	loop_timer_cancel(&s->session->worker->loop, &s->wait);
	if (s->lowat)
		set_lowat(s, 0);
	s->lowat = false;
}

/* After a pump that its timer has brought about: a wait that it neither renewed nor ended goes on.
 */
static void pumped(struct stream *s)
{
	if (s->waiting && !timer_is_set(&s->wait) && !s->again.queued)
		wait_for(s, s->backoff * 2);
}

static void on_again(struct task *t)
{
	struct stream *s = container_of(t, struct stream, again);

	stream_pump(s);
	pumped(s);
}

void stream_again(struct stream *s)
{
	if (s->session->state == SESSION_ENDED)
		return;
	s->again.run = on_again;
	loop_again(&s->session->worker->loop, &s->again);
}

void stream_not_again(struct stream *s)
{
	loop_not_again(&s->session->worker->loop, &s->again);
}

/* What a stream needs of its source's readiness, and of its target's. */
static bool wants_source(const struct stream *s)
{
	return s->state == STREAM_COPY || s->state == STREAM_SERVING || s->state == STREAM_NEW;
}

static bool wants_target(const struct stream *s)
{
	return wants_source(s) || (s->waiting && (s->signal || s->backoff >= WAIT_ARM_NS));
}

static void watch_conn(struct conn *c)
{
	struct session *s = c->owner;
	const struct stream *out = &s->streams[c->side == SIDE_CLIENT ? UP : DOWN];
	const struct stream *in = &s->streams[c->side == SIDE_CLIENT ? DOWN : UP];
	uint32_t events = EPOLLRDHUP | EPOLLET;

	if (c->fd < 0)
		return;
	if (wants_source(out))
		events |= EPOLLIN | EPOLLPRI;
	if (wants_target(in))
		events |= EPOLLOUT;
	loop_watch(&s->worker->loop, c, events);
}

void stream_watch(struct stream *s)
{
	if (s->source)
		watch_conn(s->source);
	if (s->target)
		watch_conn(s->target);
}

/* The stream that flows the other way. */
static struct stream *opposite(const struct stream *s)
{
	struct stream *streams = s->session->streams;

	return s == &streams[UP] ? &streams[DOWN] : &streams[UP];
}

bool stream_target_drained(struct stream *s)
{
	uint64_t backlog = 0, unsent = 0;
	int err;

	if (s->drained)
		return true;
	err = kernel_backlog(s, &backlog, &unsent);
	if (err) {
		session_fail(s->session, s->target, -err);
		return false;
	}
	if (backlog) {
		stream_wait_drain(s, backlog, 0);
		return false;
	}
	s->drained = true;
	stream_unwait(s);
	return true;
}

void stream_finish(struct stream *s)
{
	struct stream *other = opposite(s);
	int err;

	/* Only HTTP is without a server at times, and it has no ENDING. */
	assert(s->target);
	if (!(s->session->worker->maps &&
	      s->session->worker->maps->debug & SPLICE_DEBUG_NO_PROOF) &&
	    !stream_target_drained(s))
		return;
	if (s->source->failed) {
		/* It ended its stream properly before it failed. */
		/* Where that fails, the target is no better: the session ends either way. */
		(void)conn_end_output(s->target);
		stream_enter(s, STREAM_DONE);
		session_end(s->session, (enum session_end)s->session->end);
		return;
	}
	if (other->state != STREAM_DONE) {
		err = kernel_release(other);
		if (err == -EAGAIN)
			stream_wait(s, false);
		if (err)
			return;
		err = conn_end_output(s->target);
		if (err) {
			session_fail(s->session, s->target, -err);
			return;
		}
	}
	stream_unwait(s);
	stream_enter(s, STREAM_DONE);
	session_stream_done(s->session);
}

void stream_farewell(struct stream *s)
{
	int queued = 0;

	if (!stream_target_drained(s))
		return;
	/* For a unix socket this is what its peer has not read yet. */
	if (ioctl(s->target->fd, SIOCOUTQ, &queued) < 0)
		queued = 0;
	if (queued)
		stream_wait(s, false);
	else
		session_end(s->session, (enum session_end)s->session->end);
}

uint64_t stream_undelivered(const struct stream *s)
{
	uint64_t backlog = 0, unsent;

	if (s->drained || !s->target || s->target->fd < 0)
		return 0;
	/* Where the socket does not say, none of the present budget is counted. */
	if (kernel_backlog(s, &backlog, &unsent) < 0)
		return stream_redirected(s);
	return backlog;
}

void stream_forsake(struct stream *s)
{
	s->lost += stream_undelivered(s);
	s->drained = true;
}

void stream_close(struct stream *s)
{
	/* Before the backlog is read: the kernel may go on until the sockets are closed. */
	uint64_t redirected = stream_redirected(s), raw = s->redirected_before + redirected;

	s->redirected_end = raw - MIN(raw, s->lost + stream_undelivered(s));
	s->closed = true;
	if (s->target)
		ledger_claim(s->target,
			     s->target->sent + redirected - (raw - s->lost - s->redirected_end));
}

void stream_fini(struct stream *s)
{
	free(s->pending);
	s->pending = NULL;
	s->pending_at = s->pending_len = 0;
	free(s->filter);
	s->filter = NULL;
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "tcp.h"

#include <string.h>
#include <sys/epoll.h>

#include "listener.h"
#include "log.h"
#include "loop.h"
#include "session.h"
#include "silence.h"
#include "sniff/announce.h"
#include "upstream/dial.h"
#include "upstream/pool.h"

/* How long a failed side's last bytes have to reach the other peer. */
#define FAREWELL_NS (2 * NSEC_PER_SEC)

/* ---- dialing ---------------------------------------------------------------------------- */

static const char *dialing_describe(const struct session *s _unused_)
{
	return "dialing";
}

/* Of the client: the server's socket is the dial's. */
static void dialing_event(struct session *s, struct conn *c, uint32_t events)
{
	int err = events & EPOLLERR ? conn_error(c->fd) : 0;

	if (err) {
		session_fail(s, c, err);
		return;
	}
	if (events & EPOLLOUT)
		c->writable = true;
	conn_input_event(c, events);
}

static void dialing_connected(struct session *s, int err)
{
	struct conn *c = s->conns[SIDE_BACKEND];

	/* The error is no more in the socket, which would look as if it had ended properly behind
	 * what it may have sent. */
	if (err) {
		c->failed = c->readable = true;
		s->end = session_end_by(SIDE_BACKEND, err);
	}
	if (proxy_announce_first(s) < 0)
		session_end(s, END_LIMIT);
	else
		tcp_forward(s, &protocol_tcp);
}

static void dialing_failed(struct session *s, struct conn *c, int err)
{
	session_end(s, session_end_by(c->side, err));
}

/* The dial has times of its own. */
static const struct protocol protocol_dialing = {
    .describe = dialing_describe,
    .event = dialing_event,
    .connected = dialing_connected,
    .dial_failed = session_end,
    .conn_failed = dialing_failed,
};

/* Whether the server gets something as soon as it is connected. */
static bool has_spoken(const struct session *s)
{
	return s->streams[UP].pending_len || s->pool->config->send_proxy != PROXY_SEND_NO ||
	       conn_has_input(&s->client_conn);
}

void tcp_dial(struct session *s, struct pool *pool)
{
	struct dial_plan plan = {.pool = pool,
				 .silence = s->listener->silence,
				 .bypass = listener_marks_servers(s->listener),
				 .original = s->original};

	s->pool = pool;
	if (pool->config->source == SOURCE_CLIENT)
		plan.client = &s->client_conn.peer;
	plan.speaks = has_spoken(s);
	session_disarm(s);
	session_speak(s, &protocol_dialing);
	session_dial(s, &plan);
}

/* ---- open ------------------------------------------------------------------------------- */

static bool is_half_closed(const struct session *s)
{
	return s->streams[UP].state == STREAM_DONE || s->streams[DOWN].state == STREAM_DONE;
}

const char *tcp_describe(const struct session *s)
{
	return is_half_closed(s) ? "half_closed" : "open";
}

static uint64_t idle_limit(const struct session *s)
{
	const struct listener_config *c = s->listener->config;

	return s->tunnel ? c->tunnel_timeout : c->idle_timeout;
}

/* How long the session may be silent in its present state; 0: for ever. */
static uint64_t silence_limit(const struct session *s)
{
	uint64_t half = is_half_closed(s) ? s->listener->config->half_close_timeout : 0;
	uint64_t idle = idle_limit(s);

	if (half && idle)
		return MIN(half, idle);
	return half ? half : idle;
}

static void begin_silence(struct session *s)
{
	uint64_t limit = silence_limit(s);

	if (limit)
		session_arm(s, silence_begin(s, limit));
	else
		session_disarm(s);
}

static void check_silence(struct session *s)
{
	uint64_t limit = silence_limit(s), left;

	if (!limit)
		return;
	left = silence_left(s, limit, SILENCE_BOTH);
	if (left)
		session_arm(s, left);
	else
		session_end(s, is_half_closed(s) && limit != idle_limit(s) ? END_HALF_CLOSE_TIMEOUT
									   : END_IDLE_TIMEOUT);
}

static bool has_failed(const struct session *s)
{
	return s->conns[SIDE_CLIENT]->failed || s->conns[SIDE_BACKEND]->failed;
}

void tcp_timeout(struct session *s)
{
	if (has_failed(s))
		session_end(s, s->end);
	else
		check_silence(s);
}

void tcp_event(struct session *s, struct conn *c, uint32_t events)
{
	struct stream *from = &s->streams[c->side == SIDE_CLIENT ? UP : DOWN];
	struct stream *to = &s->streams[c->side == SIDE_CLIENT ? DOWN : UP];
	int err;

	if (c->failed)
		return;
	err = events & EPOLLERR ? conn_error(c->fd) : 0;
	if (err) {
		session_fail(s, c, err);
		return;
	}
	if (events & EPOLLOUT)
		c->writable = true;
	conn_input_event(c, events);
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		stream_pump(from);
	if (events & EPOLLOUT) {
		stream_roused(to);
		stream_pump(to);
	}
}

/*
 * What the socket's peer sent before is still delivered, as it would have been without a proxy: the
 * session ends when the other peer has it, at the latest after some seconds. That is so as well
 * where the end behind it was passed on: a close throws away what is not acknowledged as soon as
 * the other peer sends something, or has sent something that is unread.
 */
void tcp_conn_failed(struct session *s, struct conn *c, int err)
{
	struct stream *out = &s->streams[c->side == SIDE_CLIENT ? UP : DOWN];
	enum session_end end = session_end_by(c->side, err);

	log_session(LOG_LVL_DEBUG, s->id, ": %s: %s", c->side == SIDE_CLIENT ? "client" : "server",
		    strerror(err));
	if (has_failed(s)) {
		session_end(s, end);
		return;
	}
	c->failed = true;
	c->readable = true;
	s->end = end;
	session_arm(s, FAREWELL_NS);
	kernel_abandon(out);
	stream_again(out);
}

void tcp_stream_done(struct session *s)
{
	if (s->streams[UP].state == STREAM_DONE && s->streams[DOWN].state == STREAM_DONE) {
		session_end(s, END_DONE);
		return;
	}
	log_session(LOG_LVL_DEBUG, s->id, ": open -> half_closed");
	begin_silence(s);
}

/* There is nothing to be told of a server. */
const struct protocol protocol_tcp = {
    .describe = tcp_describe,
    .event = tcp_event,
    .timeout = tcp_timeout,
    .conn_failed = tcp_conn_failed,
    .stream_done = tcp_stream_done,
};

/* ---- from one to the other -------------------------------------------------------------- */

/* Whether nobody else moves the stream's bytes. */
static bool is_free(const struct stream *st)
{
	return !st->lane && (st->state == STREAM_NEW || st->state == STREAM_COPY);
}

void tcp_forward(struct session *s, const struct protocol *as)
{
	if (!is_free(&s->streams[UP]) || !is_free(&s->streams[DOWN])) {
		session_end(s, END_ERROR);
		return;
	}
	s->opened_ns = s->home->loop->now;
	session_speak(s, as);
	/* The server of what was spoken before may have, see http_fail(): s->end says how. */
	if (has_failed(s))
		session_arm(s, FAREWELL_NS);
	else
		begin_silence(s);
	s->splice.wants_bypass = listener_bypasses(s->listener);
	s->splice.local = s->listener->config->local_bypass;
	splice_open(&s->splice);
}

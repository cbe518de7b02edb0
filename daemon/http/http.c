// SPDX-License-Identifier: GPL-2.0-or-later
/* The life of an HTTP connection: phases, events, timers. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "../daemon.h"
#include "../listener.h"
#include "../log.h"
#include "../silence.h"
#include "../sniff/sniff.h"
#include "../upstream/dial.h"
#include "../upstream/pool.h"
#include "../worker.h"
#include "out.h"

const char *const http_phase_str[_HTTP_PHASE_MAX] = {
    [HTTP_IDLE] = "idle",
    [HTTP_HEAD] = "head",
    [HTTP_CONNECTING] = "connecting",
    [HTTP_WAITING] = "waiting",
    [HTTP_ANSWERING] = "answering",
    [HTTP_CLOSING] = "closing",
    [HTTP_LINGERING] = "lingering",
};

#define TO(phase) (1u << HTTP_##phase)
static const uint8_t next_phases[_HTTP_PHASE_MAX] = {
    [HTTP_IDLE] = TO(HEAD) | TO(CONNECTING) | TO(CLOSING),
    [HTTP_HEAD] = TO(CONNECTING) | TO(CLOSING),
    [HTTP_CONNECTING] = TO(WAITING) | TO(CLOSING),
    [HTTP_WAITING] = TO(CONNECTING) | TO(ANSWERING) | TO(CLOSING),
    [HTTP_ANSWERING] = TO(IDLE) | TO(CLOSING),
    [HTTP_CLOSING] = TO(LINGERING),
    [HTTP_LINGERING] = 0,
};
#undef TO

bool http_may_enter(enum http_phase from, enum http_phase next)
{
	return next_phases[from] >> next & 1;
}

void http_enter(struct session *s, enum http_phase next)
{
	struct http *h = s->http;

	assert(http_may_enter(h->phase, next));
	log_debug("session %llu: %s -> %s", (unsigned long long)s->id, http_phase_str[h->phase],
		  http_phase_str[next]);
	h->phase = next;
}

/* ---- work -------------------------------------------------------------------------------- */

static void pump_up(struct session *s)
{
	while (http_goes_on(s)) {
		switch (s->http->phase) {
		case HTTP_IDLE:
		case HTTP_HEAD:
			/* Not before the last response is written. */
			if (!http_flush(s, SIDE_CLIENT) || !http_next_request(s))
				return;
			break;
		case HTTP_WAITING:
		case HTTP_ANSWERING:
			http_pump_request(s);
			return;
		case HTTP_CLOSING:
		case HTTP_LINGERING:
			http_pump_closing(s);
			return;
		default:
			return;
		}
	}
}

static void pump_down(struct session *s)
{
	switch (s->http->phase) {
	case HTTP_WAITING:
	case HTTP_ANSWERING:
		http_pump_response(s);
		break;
	case HTTP_CLOSING:
	case HTTP_LINGERING:
		http_pump_closing(s);
		break;
	case HTTP_IDLE:
	case HTTP_HEAD:
		if (http_flush(s, SIDE_CLIENT))
			pump_up(s);
		break;
	default:
		break;
	}
}

static void pump(struct stream *st)
{
	struct session *s = session_of(st);

	if (st == &s->streams[UP])
		pump_up(s);
	else
		pump_down(s);
}

static const struct engine engine_http = {.pump = pump, .budgets = true};

/* ---- events ----------------------------------------------------------------------------- */

bool http_give_up(struct session *s)
{
	enum http_phase phase = s->http->phase;

	if (!s->listener->config->abort_on_close || !s->conns[SIDE_CLIENT]->fin_seen ||
	    (phase != HTTP_CONNECTING && phase != HTTP_WAITING))
		return false;
	s->polite = true;
	http_abort(s, HTTP_END_CLIENT_CLOSED);
	return true;
}

static void event(struct session *s, struct conn *c, uint32_t events)
{
	int err = events & EPOLLERR ? conn_error(c->fd) : 0;

	if (c->failed)
		return;
	if (events & EPOLLOUT)
		c->writable = true;
	conn_input_event(c, events);
	if (err) {
		http_fail(s, c, err);
		return;
	}
	if (c->side == SIDE_CLIENT && http_give_up(s))
		return;
	if (s->http->phase == HTTP_CONNECTING)
		return;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		stream_pump(&s->streams[c->side == SIDE_CLIENT ? UP : DOWN]);
	/* It may be the server of the request no more. */
	if (events & EPOLLOUT && c->owner == s) {
		struct stream *to = &s->streams[c->side == SIDE_CLIENT ? DOWN : UP];

		stream_roused(to);
		stream_pump(to);
	}
}

/* A tunnel wants a connection that is certain to live, and cannot be asked for twice; what is sent
 * again does, too. */
static bool is_single(const struct session *s)
{
	return s->http->request->retried || s->http->request->method_id == METHOD_CONNECT;
}

void http_dial(struct session *s)
{
	const struct dial_plan plan = {
	    .pool = s->pool,
	    .silence = MAX(s->listener->silence, s->pool->config->keepalive_timeout),
	    .speaks = true,
	    .own = is_single(s) ? NULL : &s->http->own,
	    .idle = !is_single(s) && http_may_share(s),
	    .careful = !http_is_repeatable(s),
	};

	session_dial(s, &plan);
}

static void check_kept(struct session *s)
{
	own_check(&s->http->own);
}

static void connected(struct session *s)
{
	s->conns[SIDE_BACKEND]->writable = true;
	if (s->conns[SIDE_BACKEND]->used)
		stat_inc(&s->worker->stats.backend_reused);
	for (int i = 0; i < 2; i++) {
		s->streams[i].why_copy = COPY_NONE;
		s->streams[i].by_hand = 0;
	}
	http_send_request(s);
}

static void dial_failed(struct session *s, enum session_end end)
{
	if (end == END_CONNECT_FAILED)
		http_answer(s, HTTP_END_CONNECT_FAILED);
	else
		http_answer(s, end == END_NO_SERVER ? HTTP_END_NO_SERVER : HTTP_END_LIMIT);
}

/*
 * What the server had sent before it failed is still delivered: it may have answered early, and
 * reset the connection because it does not want the rest of the request.
 */
static void server_failed(struct session *s, struct conn *c)
{
	struct stream *down = &s->streams[DOWN];

	c->failed = true;
	c->readable = true;
	if (s->http->phase != HTTP_WAITING && s->http->phase != HTTP_ANSWERING)
		return;
	/* A body that is read is not always delivered: no further request behind it. */
	if (s->http->body[UP].kind != BODY_NONE)
		s->http->close = true;
	kernel_abandon(down);
	stream_again(down);
}

/* The daemon, or the kernel, has no memory for what goes to or comes from that side: no peer has
 * failed, and nobody waits for anything. A client that may have got a part of something gets a
 * reset. */
static void no_room(struct session *s, enum side side)
{
	if (s->http->phase >= HTTP_CLOSING || !s->http->request)
		session_end(s, END_LIMIT);
	else if (side == SIDE_CLIENT)
		http_abort(s, HTTP_END_LIMIT);
	else
		http_answer(s, HTTP_END_LIMIT);
}

void http_fail(struct session *s, struct conn *c, int err)
{
	enum session_end why = session_end_by(c->side, err);

	if (c->failed)
		return;
	c->lost = why == END_CLIENT_LOST || why == END_SERVER_LOST;
	log_debug("session %llu: %s: %s", (unsigned long long)s->id,
		  c->side == SIDE_CLIENT ? "client" : "server", strerror(err));
	if (err == ENOMEM || err == ENOBUFS) {
		no_room(s, c->side);
		return;
	}
	if (c->side == SIDE_BACKEND) {
		/* What a reset gives once the peer's FIN has come (tcp_reset). */
		c->end_first = c->tcp && err == EPIPE;
		server_failed(s, c);
		return;
	}
	c->failed = true;
	if (s->http->phase >= HTTP_CLOSING || s->http->phase == HTTP_IDLE || !s->http->request) {
		session_end(s, c->lost ? END_CLIENT_LOST : END_CLIENT_RESET);
		return;
	}
	http_abort(s, c->lost ? HTTP_END_CLIENT_LOST : HTTP_END_CLIENT_RESET);
}

static void drain(struct session *s)
{
	s->http->close = true;
	if (s->http->phase == HTTP_IDLE && !s->http->out[SIDE_CLIENT].len) {
		s->polite = true;
		session_end(s, END_SHUTDOWN);
	}
}

/* ---- timeouts --------------------------------------------------------------------------- */

static void look_in(struct session *s, uint64_t ns, bool by_silence)
{
	s->http->by_silence = by_silence;
	session_arm(s, ns);
}

void http_deadline(struct session *s, uint64_t ns)
{
	look_in(s, ns, false);
}

void http_silence(struct session *s, uint64_t ns)
{
	look_in(s, silence_begin(s, ns), true);
}

/* Whether it has not been silent for so long yet; then it is looked at again. */
static bool is_moving(struct session *s, uint64_t limit)
{
	/* While the response is awaited, what the client takes are interim responses: no
	 * progress of the request. */
	bool one = s->http->phase == HTTP_WAITING;
	uint64_t left = silence_left(s, limit, one ? SILENCE_SERVER : SILENCE_BOTH);

	if (left)
		look_in(s, left, true);
	return left;
}

static void timeout(struct session *s)
{
	const struct listener_config *c = s->listener->config;
	struct http *h = s->http;

	switch (h->phase) {
	case HTTP_IDLE:
		s->polite = true;
		session_end(s, h->n_requests ? END_DONE : END_SNIFF_TIMEOUT);
		break;
	case HTTP_HEAD:
		http_answer(s, HTTP_END_HEAD_TIMEOUT);
		break;
	case HTTP_CONNECTING:
		/* The dial has a time of its own. */
		break;
	case HTTP_WAITING:
		if (!h->body[UP].done) {
			if (!is_moving(s, c->request_timeout))
				http_answer(s, HTTP_END_REQUEST_TIMEOUT);
		} else if (!http_is_delivered(s)) {
			if (!is_moving(s, c->response_timeout))
				http_answer(s, HTTP_END_RESPONSE_TIMEOUT);
		} else if (h->by_silence) {
			http_deadline(s, c->response_timeout);
		} else {
			http_answer(s, HTTP_END_RESPONSE_TIMEOUT);
		}
		break;
	case HTTP_ANSWERING:
		if (!is_moving(s, c->response_timeout))
			http_abort(s, HTTP_END_RESPONSE_TIMEOUT);
		break;
	case HTTP_CLOSING:
		if (h->cut)
			session_end(s, s->end);
		else if (!is_moving(s, c->response_timeout))
			session_end(s, END_IDLE_TIMEOUT);
		break;
	default:
		s->polite = true;
		session_end(s, END_DONE);
		break;
	}
}

/* ---- the end ---------------------------------------------------------------------------- */

static enum http_end end_of(enum session_end end)
{
	switch (end) {
	case END_CLIENT_RESET:
		return HTTP_END_CLIENT_RESET;
	case END_SERVER_RESET:
		return HTTP_END_SERVER_RESET;
	case END_CLIENT_LOST:
		return HTTP_END_CLIENT_LOST;
	case END_SERVER_LOST:
		return HTTP_END_SERVER_LOST;
	case END_SHUTDOWN:
		return HTTP_END_SHUTDOWN;
	case END_INTEGRITY:
		return HTTP_END_INTEGRITY;
	case END_LIMIT:
	case END_SNIFF_LIMIT:
		return HTTP_END_LIMIT;
	case END_DONE:
		return HTTP_END_DONE;
	case END_IDLE_TIMEOUT:
	case END_HALF_CLOSE_TIMEOUT:
		return HTTP_END_TUNNEL_TIMEOUT;
	default:
		return HTTP_END_ERROR;
	}
}

bool http_ended(struct session *s)
{
	const struct http *h = s->http;

	sniff_done(s);
	own_close(&s->http->own);
	if (h->cut)
		http_record(s, h->cut_end);
	else if (!h->request)
		return h->n_requests;
	else if (h->request->ended_ns && s->end != END_CLIENT_RESET)
		http_record(s, HTTP_END_DONE);
	else
		http_record(s, end_of(s->end));
	return true;
}

void http_free(struct session *s)
{
	struct http *h = s->http;

	if (h->request)
		http_replay_end(h->request);
	free(h->request);
	http_out_free(&h->out[SIDE_CLIENT]);
	http_out_free(&h->out[SIDE_BACKEND]);
	trailer_rules_fini(&h->trailers[UP]);
	trailer_rules_fini(&h->trailers[DOWN]);
	free(h);
}

/* ---- the protocol ----------------------------------------------------------------------- */

static const char *describe(const struct session *s _unused_)
{
	return "http";
}

const struct protocol protocol_http = {
    .describe = describe,
    .event = event,
    .timeout = timeout,
    .connected = connected,
    .dial_failed = dial_failed,
    .conn_failed = http_fail,
    .drain = drain,
    .ended = http_ended,
    .free = http_free,
    .check_kept = check_kept,
};

void http_start(struct session *s)
{
	struct http *h = calloc(1, sizeof(*h));

	if (!h) {
		session_end(s, END_LIMIT);
		return;
	}
	s->http = h;
	own_init(&h->own);
	s->opened_ns = s->worker->loop.now;
	session_speak(s, &protocol_http);
	splice_by_hand(&s->splice, &engine_http);
	for (int i = 0; i < 2; i++) {
		stream_enter(&s->streams[i], STREAM_COPY);
		body_begin(&h->body[i], BODY_NONE, 0);
	}
	s->client_conn.readable = s->client_conn.writable = true;
	stream_watch(&s->streams[UP]);
	http_deadline(s, s->listener->config->head_timeout);
	stream_pump(&s->streams[UP]);
}

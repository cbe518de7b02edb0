// SPDX-License-Identifier: GPL-2.0-or-later
/* The life of an HTTP connection: phases, events, timers. */
#include <sys/epoll.h>

#include "../listener.h"
#include "../loop.h"
#include "../silence.h"
#include "../splice/drain.h"
#include "../stats.h"
#include "exchange.h"
#include "http.h"
#include "out.h"

/* ---- work -------------------------------------------------------------------------------- */

static void pump_up(struct session *s)
{
	while (http_goes_on(s)) {
		switch (s->http->phase) {
		case HTTP_IDLE:
		case HTTP_HEAD:
			/* Not before the last response is written. */
			if (!http_flush(s, SIDE_CLIENT))
				return;
			if (http_next_request(s))
				break;
			http_end_idle(s);
			return;
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

static void renew(struct session *s)
{
	own_check(&s->http->own);
	http_follow(s);
}

static void connected(struct session *s, int err _unused_)
{
	s->conns[SIDE_BACKEND]->writable = true;
	if (s->conns[SIDE_BACKEND]->used)
		stat_inc(&s->home->stats->backend_reused);
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

static void drain(struct session *s)
{
	if (http_may_say_close(s->http))
		s->http->close = true;
	http_look_at_idle(s);
}

/* ---- timeouts --------------------------------------------------------------------------- */

/* Whether it has not been silent for so long yet; then it is looked at again. */
static bool is_moving(struct session *s, uint64_t limit)
{
	/* While the response is awaited, what the client takes are interim responses: no
	 * progress of the request. */
	bool one = s->http->phase == HTTP_WAITING;
	uint64_t left = silence_left(s, limit, one ? SILENCE_SERVER : SILENCE_BOTH);

	if (left)
		http_look_in(s, left);
	return left;
}

/* Whether something of the request is here that the server has no room for. */
static bool is_refused(const struct session *s)
{
	const struct stream *up = &s->streams[UP];

	/* Paused: its TCP has as much as it may have unsent. */
	return s->http->out[SIDE_BACKEND].len || up->state == STREAM_PAUSED ||
	       stream_undelivered(up, stream_redirected(up));
}

/* A request is not complete. It is the client who is waited for, unless the server takes none of
 * what has come. */
static void body_timeout(struct session *s)
{
	const struct listener_config *c = s->listener->config;
	uint64_t left;

	if (!is_refused(s)) {
		if (!is_moving(s, c->request_timeout))
			http_answer(s, HTTP_END_REQUEST_TIMEOUT);
		return;
	}
	left = silence_left(s, c->response_timeout, SILENCE_SERVER);
	if (left)
		http_look_in(s, MIN(left, c->request_timeout));
	else
		http_answer(s, HTTP_END_RESPONSE_TIMEOUT);
}

/* The client has not taken the last response, or the kernel has not given its stream back. */
static void closing_timeout(struct session *s)
{
	if (s->http->cut)
		session_end(s, s->end);
	else if (!s->http->by_silence)
		session_end(s, END_DONE);
	else if (!is_moving(s, s->listener->config->response_timeout))
		session_end(s, END_IDLE_TIMEOUT);
}

static void timeout(struct session *s)
{
	const struct listener_config *c = s->listener->config;
	struct http *h = s->http;

	switch (h->phase) {
	case HTTP_IDLE:
		h->expired = true;
		http_look_at_idle(s);
		break;
	case HTTP_HEAD:
		http_answer(s, HTTP_END_HEAD_TIMEOUT);
		break;
	case HTTP_CONNECTING:
		/* The dial has a time of its own. */
		break;
	case HTTP_WAITING:
		if (!h->body[UP].done) {
			body_timeout(s);
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
		closing_timeout(s);
		break;
	default:
		s->polite = true;
		session_end(s, END_DONE);
		break;
	}
}

/* ---- the protocol ----------------------------------------------------------------------- */

static const char *describe(const struct session *s _unused_)
{
	return "http";
}

static const struct protocol protocol_http = {
    .describe = describe,
    .event = event,
    .timeout = timeout,
    .connected = connected,
    .dial_failed = dial_failed,
    .conn_failed = http_fail,
    .drain = drain,
    .ended = http_ended,
    .free = http_free,
    .renew = renew,
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
	s->opened_ns = s->home->loop->now;
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

// SPDX-License-Identifier: GPL-2.0-or-later
/* A request on its way to the server: its head, and its body to the last byte. */
#include "../listener.h"
#include "../loop.h"
#include "../sniff/announce.h"
#include "../splice/drain.h"
#include "../stats.h"
#include "exchange.h"
#include "move.h"
#include "out.h"

bool http_is_delivered(const struct session *s)
{
	return s->http->body[UP].done && !s->http->out[SIDE_BACKEND].len && s->streams[UP].drained;
}

/* The server's TCP has taken something: if that was the last of it, the server is awaited, or the
 * exchange is over. */
static void check_delivery(struct session *s)
{
	struct http *h = s->http;

	if (h->delivered || !http_is_delivered(s))
		return;
	h->delivered = true;
	if (h->phase == HTTP_WAITING)
		http_deadline(s, s->listener->config->response_timeout);
	else if (h->phase == HTTP_ANSWERING)
		stream_again(&s->streams[DOWN]);
}

void http_send_request(struct session *s)
{
	struct http_request *r = s->http->request;
	uint8_t header[PROXY_HEADER_MAX];
	struct conn *c = s->conns[SIDE_BACKEND];
	size_t proxy = c->used ? 0 : proxy_announce(s, header, sizeof(header));
	/* What was sent of the body before, when it is sent again. */
	struct iovec iov[3] = {{.iov_base = header, .iov_len = proxy},
			       {.iov_base = http_head_of(r), .iov_len = r->head_len},
			       {.iov_base = r->replay.body, .iov_len = r->replay.len}};
	int n = r->replay.len ? 2 : 1, err;

	r->server = s->server;
	r->backend = c->peer;
	r->kept = c->used;
	r->connected_ns = s->home->loop->now;
	http_enter(s, HTTP_WAITING);
	http_deadline(s, s->listener->config->response_timeout);
	s->http->delivered = s->http->unwanted = false;
	s->http->lost[SIDE_CLIENT] = s->http->lost[SIDE_BACKEND] = 0;
	c->identified = c->identified || r->identifies;
	http_replay_begin(s);
	err = http_write(s, SIDE_BACKEND, proxy ? iov : iov + 1, proxy ? n + 1 : n);
	if (err) {
		/* What a kept connection may have said meanwhile is nobody's response. */
		if (!c->used || !http_try_again(s))
			http_fail(s, c, -err);
		return;
	}
	if (!s->http->body[UP].done) {
		http_silence(s, s->listener->config->request_timeout);
		stream_again(&s->streams[UP]);
	}
	check_delivery(s);
	/* It may have spoken, or left, together with the connection. */
	if (c->readable)
		stream_again(&s->streams[DOWN]);
}

static void body_failed(struct session *s, enum move_result r)
{
	switch (r) {
	case MOVE_BAD:
		s->http->refused = s->http->body[UP].chunk.error;
		stat_inc(&s->home->stats->http_errors[s->http->refused]);
		http_answer(s, HTTP_END_BAD_REQUEST);
		break;
	case MOVE_END:
		/* A client that has had a part of an answer is not to take that for all. */
		s->polite = s->given_up =
		    !s->conns[SIDE_CLIENT]->failed && s->http->phase != HTTP_ANSWERING;
		http_abort(s, s->conns[SIDE_CLIENT]->failed ? HTTP_END_CLIENT_RESET
							    : HTTP_END_CLIENT_CLOSED);
		break;
	default:
		break;
	}
}

/* The client has said all of its request. */
static void moved_all(struct session *s)
{
	if (s->http->phase == HTTP_WAITING)
		http_silence(s, s->listener->config->response_timeout);
	/* A kernel that has not given all of it to the server's TCP is looked at until it has. */
	if (stream_target_drained(&s->streams[UP]))
		check_delivery(s);
}

void http_pump_request(struct session *s)
{
	const struct listener_config *c = s->listener->config;
	struct http_body *b = &s->http->body[UP];
	struct conn *server = s->conns[SIDE_BACKEND];
	enum move_result r;

	if (!server || server->failed || !http_flush(s, SIDE_BACKEND))
		return;
	if (b->done) {
		check_delivery(s);
		return;
	}
	r = move_body(s, &s->streams[UP], b);
	/* The size of a chunk is known before the kernel moves it. */
	if (c->body_max && b->moved + body_run(b) > c->body_max && r != MOVE_END) {
		http_answer(s, HTTP_END_BODY_TOO_LARGE);
		return;
	}
	if (r == MOVE_DONE)
		moved_all(s);
	body_failed(s, r);
}

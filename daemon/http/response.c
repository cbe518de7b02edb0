// SPDX-License-Identifier: GPL-2.0-or-later
/* A response: from its head to its last byte. */
#include <errno.h>
#include <string.h>

#include "../listener.h"
#include "../log.h"
#include "../loop.h"
#include "../splice/drain.h"
#include "../splice/lane.h"
#include "../stats.h"
#include "../tcpstate.h"
#include "../upstream/pool.h"
#include "field.h"
#include "input.h"
#include "move.h"
#include "out.h"
#include "parse.h"
#include "rewrite.h"
#include "syntax.h"

/*
 * Heads in one turn, so that a server that repeats interim responses does not starve the others,
 * and interim responses to one request: a server that says each second that it is at work has some
 * minutes, and one that never says anything else is no server.
 */
#define TURN_HEADS  8
#define INTERIM_MAX 512

/* ---- the server's end ------------------------------------------------------------------- */

void http_server_gone(struct session *s)
{
	const struct conn *c = s->conns[SIDE_BACKEND];
	enum http_end end = c && c->lost ? HTTP_END_SERVER_LOST : HTTP_END_SERVER_RESET;

	if (s->http->phase == HTTP_ANSWERING)
		http_cut(s, end);
	else if (http_try_again(s))
		return;
	else if (end == HTTP_END_SERVER_RESET && http_is_stale(s))
		http_say_nothing(s);
	else
		http_answer(s, end);
}

static void bad_response(struct session *s, enum http_error error)
{
	log_about(LOG_LVL_WARNING,
		  LOG_ABOUT(.session = s->id, .listener = s->listener->config->name,
			    .pool = s->pool->config->name,
			    .server = s->server ? s->server->name : NULL),
		  "pool %s: server %s: response: %s", s->pool->config->name,
		  s->server ? s->server->name : "-", http_error_str[error]);
	stat_inc(&s->home->stats->http_errors[error]);
	s->http->refused = error;
	http_answer(s, HTTP_END_BAD_RESPONSE);
}

/* What the server's TCP says before it has any of the request, on a connection that was kept. */
static void refuse_unasked(struct session *s)
{
	if (!http_may_resend(s)) {
		bad_response(s, HTTP_UNASKED);
		return;
	}
	log_debug("session %llu: server %s said something before it had the request",
		  (unsigned long long)s->id, s->server ? s->server->name : "-");
	stat_inc(&s->home->stats->http_errors[HTTP_UNASKED]);
	http_server_gone(s);
}

/* ---- the head --------------------------------------------------------------------------- */

static bool is_tunnel(const struct http_request *r, const struct http_head *head)
{
	return (head->status == 101 && r->upgrade) ||
	       (r->method_id == METHOD_CONNECT && head->status / 100 == 2);
}

/* The peer's TCP has all: what it says is said with the acknowledgement of that. */
static bool is_acknowledged(const struct conn *c)
{
	struct tcp_state state;

	return !c->tcp || (tcp_state_read(c->fd, &state) == 0 && !state.queued);
}

/*
 * Whether the server's TCP had every byte of the request before the response began. Where it had
 * not, a server that does not mean to read the rest takes it for its next request, and what another
 * client sends for the rest of that: nobody can see from here whether it does.
 */
static bool was_asked(struct session *s)
{
	const struct http_body *b = &s->http->body[UP];
	struct stream *up = &s->streams[UP];
	/* What the kernel has moved may not be settled yet. */
	bool moved = b->kind == BODY_LENGTH && up->lane && stream_redirected(up) >= b->left;

	if ((!b->done && !moved) || s->http->out[SIDE_BACKEND].len || !stream_is_drained(up))
		return false;
	return b->kind == BODY_NONE || is_acknowledged(s->conns[SIDE_BACKEND]);
}

/*
 * Bodies of these mean nothing (RFC 9110, 9.3): there are servers that leave them unread,
 * libevent's and Python's among them, and take their bytes for the next request, which may be
 * another client's.
 */
static bool may_be_unread(const struct http *h)
{
	if (h->body[UP].kind == BODY_NONE)
		return false;
	switch (h->request->method_id) {
	case METHOD_GET:
	case METHOD_HEAD:
	case METHOD_DELETE:
	case METHOD_OPTIONS:
	case METHOD_TRACE:
		return true;
	default:
		return false;
	}
}

static void begin_body(struct session *s, const struct http_head *head)
{
	struct http *h = s->http;
	struct http_body *b = &h->body[DOWN];
	struct http_request *r = h->request;

	if (!http_response_has_body(head, r->method_id))
		body_begin(b, BODY_NONE, 0);
	else if (head->chunked)
		body_begin(b, BODY_CHUNKED, 0);
	else if (head->has_length)
		body_begin(b, BODY_LENGTH, head->content_length);
	else
		body_begin(b, BODY_UNTIL_CLOSE, 0);
	h->keep = head->keep_alive && b->kind != BODY_UNTIL_CLOSE;
	/* A client of HTTP/1.0 knows no chunks: for it the body lasts until the end. */
	if (b->kind == BODY_CHUNKED && r->minor == 0)
		b->plain = true;
	if (b->plain || b->kind == BODY_UNTIL_CLOSE)
		h->close = true;
	/* Answered early, by a server that will not keep the connection, or to a client that waits
	 * for a word which does not come now. */
	h->unwanted = !h->body[UP].done && r->expect && !h->body[UP].moved;
	if (h->unwanted || (!h->body[UP].done && !h->keep))
		h->close = true;
	h->keep = h->keep && was_asked(s) && !may_be_unread(h);
	/* What came behind a CONNECT may be meant for the tunnel, and is no request then. */
	if (r->method_id == METHOD_CONNECT)
		h->close = true;
	b->trailers = &h->trailers[DOWN];
}

static enum rewrite_connection what_to_say(const struct http *h)
{
	if (h->close)
		return SAY_CLOSE;
	return h->request->minor == 0 ? SAY_KEEP_ALIVE : SAY_NOTHING;
}

/* Writes the head, and the part of the body that came with it, with one call. False: failed. What
 * is wrong with a body cuts it, as it would if it had come later. */
static bool write_head(struct session *s, size_t head_len, const char *in, size_t len, size_t *used)
{
	char *scratch = s->home->scratch;
	struct body_spans spans;
	int err;

	body_spans_init(&spans, scratch + head_len, HOME_SCRATCH - head_len);
	spans.iov[spans.n++] = (struct iovec){.iov_base = scratch, .iov_len = head_len};
	*used = body_take(&s->http->body[DOWN], in, len, &spans);
	err = http_write(s, SIDE_CLIENT, spans.iov, spans.n);
	if (err)
		http_fail(s, s->conns[SIDE_CLIENT], -err);
	return !err;
}

/* 100 and 103 say that the response is still to come. */
static bool pass_interim(struct session *s, const struct http_head *head, const struct input *in,
			 size_t len)
{
	struct iovec iov = {.iov_base = s->home->scratch};
	int err = 0;

	if (++s->http->request->n_interim > INTERIM_MAX) {
		bad_response(s, HTTP_TOO_MANY_INTERIM);
		return false;
	}
	if (s->http->request->minor > 0) {
		iov.iov_len = rewrite_response(s, head, in->data, SAY_NOTHING, false,
					       s->home->scratch, HOME_SCRATCH);
		err = http_write(s, SIDE_CLIENT, &iov, 1);
	}
	if (err) {
		http_fail(s, s->conns[SIDE_CLIENT], -err);
		return false;
	}
	http_count_status(s, s->server, 100);
	if (input_used(s, &s->streams[DOWN], in, len) < 0)
		session_end(s, END_LIMIT);
	return true;
}

/* Whether the response says that it is chunked: also to HEAD, but not where no body can be. */
static bool is_chunked(const struct http *h, const struct http_head *head)
{
	return head->chunked && h->request->minor > 0 && head->status >= 200 &&
	       head->status != 204 && head->status != 304 &&
	       !(h->request->method_id == METHOD_CONNECT && head->status < 300);
}

/* The final response begins. False: nothing more to do now. */
static bool begin_response(struct session *s, const struct http_head *head, const struct input *in,
			   size_t len)
{
	struct http *h = s->http;
	bool tunnel = is_tunnel(h->request, head);
	size_t n, used = 0;

	if (trailer_rules_set(&h->trailers[DOWN], head, in->data) < 0) {
		http_answer(s, HTTP_END_LIMIT);
		return false;
	}
	h->trailers[DOWN].request_id = s->listener->config->request_id;
	h->request->status = head->status;
	if ((head->status == 401 || head->status == 407) && http_identifies(head, in->data))
		s->conns[SIDE_BACKEND]->identified = true;
	if (!tunnel)
		begin_body(s, head);
	n = rewrite_response(s, head, in->data, tunnel ? SAY_NOTHING : what_to_say(h),
			     is_chunked(h, head), s->home->scratch, HOME_SCRATCH);
	if (!n) {
		bad_response(s, HTTP_HEAD_TOO_LARGE);
		return false;
	}
	if (!write_head(s, n, in->data + len, tunnel ? 0 : in->len - len, &used))
		return false;
	http_enter(s, HTTP_ANSWERING);
	http_silence(s, s->listener->config->response_timeout);
	if (input_used(s, &s->streams[DOWN], in, len + used) < 0) {
		session_end(s, END_LIMIT);
		return false;
	}
	if (tunnel)
		http_become_tunnel(s);
	return true;
}

/* A switch to what was not offered. */
static bool is_to_h2(const struct http_head *head, const char *in)
{
	for (unsigned int i = 0; i < head->n_fields; i++) {
		struct http_slice rest = head->fields[i].value, protocol;

		if (head->fields[i].id != FIELD_UPGRADE)
			continue;
		while (list_next(in, &rest, &protocol))
			if (http_upgrade_is_h2(in + protocol.at, protocol.len))
				return true;
	}
	return false;
}

/* True: go on with what comes after it. */
static bool read_head(struct session *s)
{
	const struct listener_config *c = s->listener->config;
	const struct http_limits limits = {.head_max = (uint32_t)c->head_max,
					   .fields_max = (uint16_t)c->fields_max};
	struct stream *down = &s->streams[DOWN];
	struct http *h = s->http;
	struct http_head head;
	enum input_result r;
	struct input in;
	int n;

	r = h->scan[DOWN].begun ? input_more(s, down, &in) : input_get(s, down, &in);
	if (r == INPUT_END)
		http_server_gone(s);
	if (r != INPUT_SOME)
		return false;
	if (http_is_unasked(s)) {
		refuse_unasked(s);
		return false;
	}
	if (!h->request->first_ns)
		h->request->first_ns = s->home->loop->now;
	http_replay_end(h->request);
	n = http_response_parse(in.data, in.len, &h->scan[DOWN], &limits, s->home->fields, &head);
	if (n == 0) {
		if (input_used(s, down, &in, 0) < 0)
			session_end(s, END_LIMIT);
		return true;
	}
	if (n < 0) {
		bad_response(s, -n);
		return false;
	}
	/* Nor before the request is complete (RFC 9110, 7.8). */
	if (head.status == 101 &&
	    (!h->request->upgrade || !h->body[UP].done || is_to_h2(&head, in.data))) {
		bad_response(s, HTTP_BAD_STATUS);
		return false;
	}
	if (head.status / 100 == 1 && head.status != 101)
		return pass_interim(s, &head, &in, (size_t)n);
	return begin_response(s, &head, &in, (size_t)n);
}

/* ---- the body --------------------------------------------------------------------------- */

/* The server has ended the connection: the end of the body, or a body that is cut. */
static void source_ended(struct session *s)
{
	struct http_body *b = &s->http->body[DOWN];
	struct conn *server = s->conns[SIDE_BACKEND];
	bool complete = true;
	int err = 0;

	if (b->kind != BODY_UNTIL_CLOSE || server->failed) {
		http_server_gone(s);
		return;
	}
	if (server->collected)
		err = kernel_accounted(&s->streams[DOWN], &complete);
	if (err) {
		http_server_gone(s);
		return;
	}
	if (!complete) {
		server->readable = true;
		kernel_await_proof(&s->streams[DOWN]);
		return;
	}
	b->done = true;
	http_finish(s);
}

static void move_down(struct session *s)
{
	switch (move_body(s, &s->streams[DOWN], &s->http->body[DOWN])) {
	case MOVE_DONE:
		http_finish(s);
		break;
	case MOVE_END:
		source_ended(s);
		break;
	case MOVE_BAD:
		s->http->refused = s->http->body[DOWN].chunk.error;
		stat_inc(&s->home->stats->http_errors[s->http->refused]);
		http_cut(s, HTTP_END_BAD_RESPONSE);
		break;
	default:
		break;
	}
}

/* What the server says before its response is no progress of the request: request_timeout is about
 * the client's bytes. */
static void await_head(struct session *s)
{
	struct http *h = s->http;
	uint64_t active = s->splice.active_ns;
	bool more = true;

	/* Not before an interim response is written. */
	for (int i = 0; i < TURN_HEADS && more && http_is_in(s, HTTP_WAITING); i++)
		more = !h->out[SIDE_CLIENT].len && read_head(s);
	if (!http_is_in(s, HTTP_WAITING))
		return;
	s->splice.active_ns = active;
	if (more)
		stream_again(&s->streams[DOWN]);
}

void http_pump_response(struct session *s)
{
	struct http *h = s->http;

	if (!http_flush(s, SIDE_CLIENT))
		return;
	if (h->phase == HTTP_WAITING)
		await_head(s);
	if (!http_is_in(s, HTTP_ANSWERING))
		return;
	if (h->body[DOWN].done)
		http_finish(s);
	else
		move_down(s);
}

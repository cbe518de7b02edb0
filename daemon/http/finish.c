// SPDX-License-Identifier: GPL-2.0-or-later
/* After a response: the next request, or the end of the connection. */
#include <errno.h>
#include <sys/socket.h>

#include "../listener.h"
#include "../loop.h"
#include "../splice/budget.h"
#include "../tcpstate.h"
#include "../upstream/idle.h"
#include "../upstream/pool.h"
#include "out.h"

/* How long a client may go on sending after it got its last response. */
#define TURN_READS 8
#define LINGER_NS  (2 * NSEC_PER_SEC)

/* Whether the connection is as if it were new: nothing of this request is left in it. */
static bool is_clean(const struct session *s)
{
	const struct http *h = s->http;
	const struct conn *c = s->conns[SIDE_BACKEND];

	return h->keep && h->body[UP].done && h->body[DOWN].done && !h->out[SIDE_BACKEND].len &&
	       s->streams[UP].drained && !s->streams[DOWN].pending_len && !s->streams[DOWN].lane &&
	       !s->streams[UP].lane && !c->fin_seen && !c->failed && !c->refused &&
	       (!c->readable || conn_is_quiet(c));
}

/* What is kept for the server, and what the kernel has for it, goes with its connection. */
static void forsake_request(struct session *s)
{
	struct http *h = s->http;
	struct stream *up = &s->streams[UP];

	h->lost[SIDE_BACKEND] +=
	    h->out[SIDE_BACKEND].len + stream_undelivered(up, stream_redirected(up));
	stream_forsake(up);
	http_out_free(&h->out[SIDE_BACKEND]);
}

/* What the kernel has moved of a budget that is over before it is used up. */
static void settle(struct session *s, enum direction d)
{
	s->http->body[d].moved += budget_settle(&s->streams[d]);
}

/* Whether only this client may go on using it. */
static bool is_own(const struct session *s, const struct conn *c)
{
	const struct pool_config *p = s->pool->config;

	return c->identified || (p->reuse == REUSE_NEVER && p->keepalive);
}

void http_release_server(struct session *s, bool keep)
{
	struct conn *c = s->conns[SIDE_BACKEND];
	struct home *home = s->home;
	bool own;

	session_release_server(s);
	if (!c)
		return;
	own = is_own(s, c);
	/* A header before it names one client: the next request may be another's. */
	keep = keep && is_clean(s) && (own || s->pool->config->send_proxy == PROXY_SEND_NO);
	for (int i = 0; i < 2; i++)
		if (stream_in_kernel(&s->streams[i]))
			budget_revoke(&s->streams[i]);
	http_claim_request(s);
	forsake_request(s);
	if (stream_in_kernel(&s->streams[UP]) || stream_in_kernel(&s->streams[DOWN])) {
		/* Not back yet: the object stays for as long as the stream means it. */
		loop_unwatch(home->loop, c);
		conn_close(c, true);
		c->failed = true;
		return;
	}
	for (int i = 0; i < 2; i++)
		if (s->streams[i].lane)
			settle(s, (enum direction)i);
	stream_fini(&s->streams[DOWN]);
	stream_unwait(&s->streams[UP]);
	s->http->scan[DOWN] = (struct http_scan){0};
	(void)session_detach(s);
	if (keep && own && !s->http->close) {
		own_keep(&s->http->own, home->idle, c);
		return;
	}
	if (keep && !own && home->drain < DRAIN_RELIEVED) {
		idle_keep(home->idle, c, s->pool->config);
		return;
	}
	conn_close(c, !s->http->body[DOWN].done || !s->http->body[UP].done);
	loop_conn_gone(home->loop, c);
}

/* Whether the client may still be sending: then it is not closed before it has ended. */
static bool may_be_sending(const struct session *s)
{
	const struct conn *c = s->conns[SIDE_CLIENT];

	return !s->http->body[UP].done || s->streams[UP].pending_len || c->readable ||
	       !s->http->polite;
}

/*
 * The client had ended its stream before it got its response. Whether it still listened shows when
 * its TCP has acknowledged the response and the end behind it, or resets the connection: both make
 * an event. Where neither comes the end of lingering is the end.
 */
static void await_receipt(struct session *s)
{
	struct conn *c = s->conns[SIDE_CLIENT];
	struct tcp_state state;
	int err = conn_error(c->fd);

	if (err)
		http_fail(s, c, err);
	else if (!c->tcp || tcp_state_read(c->fd, &state) < 0 || state.closed)
		session_end(s, END_DONE);
}

/* Whether the client will send nothing more, not even what is still unread. */
static bool client_has_ended(const struct session *s)
{
	const struct conn *c = s->conns[SIDE_CLIENT];
	char byte;

	return c->fin_seen && !s->streams[UP].pending_len &&
	       recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/*
 * Whether the client's stream is back from the kernel. What was handed up of it is read in the
 * verdict map, which a socket cannot leave any more when its output was ended; and it is the splice
 * that reads there. Such a client is waited for as one that lingers.
 */
static bool is_back(struct session *s)
{
	if (!stream_in_kernel(&s->streams[UP]))
		return true;
	if (s->http->by_silence)
		http_deadline(s, LINGER_NS);
	return false;
}

void http_pump_closing(struct session *s)
{
	struct conn *c = s->conns[SIDE_CLIENT];
	ssize_t n;
	int err;

	if (s->streams[UP].lane && !stream_in_kernel(&s->streams[UP]))
		settle(s, UP);
	if (s->http->phase == HTTP_CLOSING) {
		if (!http_flush(s, SIDE_CLIENT))
			return;
		if (s->http->cut) {
			stream_farewell(&s->streams[DOWN]);
			return;
		}
		s->polite = true;
		if (!is_back(s))
			return;
		/* Unread bytes would make the close a reset, which throws the response away. */
		if (!c->fin_seen && !may_be_sending(s)) {
			session_end(s, END_DONE);
			return;
		}
		err = conn_end_output(c);
		http_enter(s, HTTP_LINGERING);
		http_deadline(s, LINGER_NS);
		/* Else the read tells that the client is gone. */
		if (err && s->http->request) {
			http_fail(s, c, -err);
			return;
		}
	}
	for (int i = 0; i < TURN_READS; i++) {
		n = recv(c->fd, s->home->loop->buffer, s->splice.settings->read_size, 0);
		if (n > 0 || (n < 0 && errno == EINTR))
			continue;
		if (n == 0 && s->http->request)
			await_receipt(s);
		else if (n == 0 || errno != EAGAIN)
			session_end(s, END_DONE);
		return;
	}
	stream_again(&s->streams[UP]);
}

/* ---- idle ------------------------------------------------------------------------------- */

/* Whether an idle connection is to wait for a further request no longer. */
static bool waits_no_longer(const struct session *s)
{
	enum idle_close how = s->listener->config->idle_close;

	switch (s->home->drain) {
	case DRAIN_RELIEVED:
		return s->http->expired || how == IDLE_CLOSE_NOW;
	case DRAIN_LAST:
		return s->http->expired || how != IDLE_CLOSE_RESPONSE;
	default:
		return s->http->expired;
	}
}

void http_look_at_idle(struct session *s)
{
	if (!http_is_in(s, HTTP_IDLE) || !waits_no_longer(s))
		return;
	/* Whatever epoll has yet to tell. */
	s->conns[SIDE_CLIENT]->readable = true;
	stream_again(&s->streams[UP]);
}

/* Whether the client has acknowledged all that was sent to it. What is on its way when the socket
 * is closed is lost, should a request come for which there is only a reset. */
static bool has_all(const struct session *s)
{
	const struct conn *c = s->conns[SIDE_CLIENT];
	struct tcp_state state;

	return !c->tcp || tcp_state_read(c->fd, &state) < 0 || !state.queued;
}

void http_end_idle(struct session *s)
{
	struct http *h = s->http;

	if (!http_is_in(s, HTTP_IDLE) || !waits_no_longer(s))
		return;
	if (!s->streams[UP].pending_len && has_all(s)) {
		s->polite = true;
		session_end(s, !h->expired     ? END_SHUTDOWN
			       : h->n_requests ? END_DONE
					       : END_SNIFF_TIMEOUT);
		return;
	}
	h->polite = false;
	http_enter(s, HTTP_CLOSING);
	http_silence(s, s->listener->config->response_timeout);
	http_pump_closing(s);
}

/* ---- the end of a response -------------------------------------------------------------- */

/* The exchange is over, and its response in the client's TCP. */
static void conclude(struct session *s, enum http_end end)
{
	struct http *h = s->http;

	h->polite = h->body[UP].done && h->request->last;
	http_release_server(s, true);
	if (!http_goes_on(s))
		return;
	if (end == HTTP_END_DONE && client_has_ended(s)) {
		/* Recorded when it is known who got it. */
		h->request->ended_ns = s->home->loop->now;
		h->close = true;
	} else {
		http_record(s, end);
	}
	if (h->close) {
		http_enter(s, HTTP_CLOSING);
		http_silence(s, s->listener->config->response_timeout);
		http_pump_closing(s);
		return;
	}
	http_enter(s, HTTP_IDLE);
	http_follow(s);
	http_deadline(s, s->listener->config->keepalive_timeout);
	if (s->streams[UP].pending_len || s->conns[SIDE_CLIENT]->readable)
		stream_again(&s->streams[UP]);
	http_look_at_idle(s);
}

bool http_is_answered(const struct session *s)
{
	const struct http *h = s->http;

	/* The last piece may be read, and lost for want of memory. */
	return h->phase == HTTP_ANSWERING && h->body[DOWN].done && !h->out[SIDE_CLIENT].len &&
	       !h->lost[SIDE_CLIENT] && s->streams[DOWN].drained && !s->conns[SIDE_CLIENT]->failed;
}

void http_leave(struct session *s, enum http_end end)
{
	s->http->close = true;
	conclude(s, end);
}

/* Whether bytes of the request are still on their way to a server that may take them. A server that
 * has ended its side is done with a request that is not there yet. */
static bool is_under_way(struct session *s)
{
	const struct conn *server = s->conns[SIDE_BACKEND];

	if (server->failed)
		return false;
	if (s->http->body[UP].done)
		return !http_flush(s, SIDE_BACKEND);
	return !s->http->unwanted && !server->fin_seen;
}

void http_finish(struct session *s)
{
	struct http *h = s->http;

	if (!http_flush(s, SIDE_CLIENT) || is_under_way(s))
		return;
	/* The response is the end of it, even of a request that is still being sent. */
	if (!h->body[UP].done)
		h->close = true;
	conclude(s, HTTP_END_DONE);
}

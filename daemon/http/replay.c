// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sending a request again. A server may close a connection that was kept at the moment a request is
 * sent on it. Whether it can have read the request is known where TCP says so: if the server's FIN
 * acknowledges none of the request's bytes, they came to a closed socket. A reset says nothing: it
 * is also what follows when a server closes with a part of the request read and a part unread.
 *
 * Some servers say something before they close: 408, for one. What acknowledges nothing of a
 * request is no answer to it. But as long as the server has not ended, the request may still reach
 * it, and be read.
 */
#include <string.h>

#include "../stats.h"
#include "../tcpstate.h"
#include "../upstream/idle.h"
#include "exchange.h"

void http_replay_begin(struct session *s)
{
	const struct conn *c = s->conns[SIDE_BACKEND];
	struct http_replay *p = &s->http->request->replay;

	p->sent = c->sent;
	p->acked = c->used && c->tcp ? conn_written(c) : 0;
}

/* False: out of memory, or too much. */
static bool make_room(struct http_replay *p, size_t more)
{
	size_t want = p->len + more;
	char *body;

	if (want > HTTP_REPLAY_MAX)
		return false;
	if (want <= p->room)
		return true;
	want = MIN(MAX(want, (size_t)p->room * 2), (size_t)HTTP_REPLAY_MAX);
	body = realloc(p->body, want);
	if (!body)
		return false;
	p->body = body;
	p->room = (uint32_t)want;
	return true;
}

void http_replay_note(struct session *s, const struct iovec *iov, int n)
{
	struct http_request *r = s->http->request;
	struct http_replay *p = &r->replay;
	size_t more = 0;

	if (p->lost)
		return;
	for (int i = 0; i < n; i++)
		more += iov[i].iov_len;
	/* A new connection is not the one whose server has left before the request. */
	if (!s->conns[SIDE_BACKEND]->used || r->retried || r->spliced || !make_room(p, more)) {
		http_replay_end(r);
		return;
	}
	for (int i = 0; i < n; i++) {
		memcpy(p->body + p->len, iov[i].iov_base, iov[i].iov_len);
		p->len += (uint32_t)iov[i].iov_len;
	}
}

/* Whether the server's TCP has taken nothing of the request by now. That it never will is known
 * once the server has ended. */
static bool has_nothing(const struct session *s)
{
	const struct conn *c = s->conns[SIDE_BACKEND];
	const struct http_replay *p = &s->http->request->replay;
	struct tcp_state state;

	/* A kernel that does not count what is acknowledged says 0; the SYN counts as one. */
	return c->tcp && p->acked && tcp_state_read(c->fd, &state) == 0 && state.acked &&
	       state.acked <= p->acked;
}

/* Of a server that has ended: whether it cannot have read any of the request. */
static bool is_unread(const struct session *s)
{
	const struct conn *c = s->conns[SIDE_BACKEND];
	const struct http_request *r = s->http->request;

	if (r->spliced)
		return false;
	return c->sent == r->replay.sent || ((!c->failed || c->end_first) && has_nothing(s));
}

bool http_is_unasked(const struct session *s)
{
	const struct conn *c = s->conns[SIDE_BACKEND];
	const struct http_request *r = s->http->request;

	if (!r->kept || r->first_ns || !c || c->fd < 0)
		return false;
	/* Most answers come with the acknowledgement of all: one call says so. */
	return (c->sent == r->replay.sent && !r->spliced) ||
	       (c->tcp && !tcp_all_is_acked(c->fd) && has_nothing(s));
}

bool http_may_resend(const struct session *s)
{
	const struct conn *c = s->conns[SIDE_BACKEND];
	const struct http_request *r = s->http->request;

	return r->idempotent || c->sent == r->replay.sent || conn_has_ended(c);
}

/* Whether a byte of an answer has come. */
static bool is_answered(const struct session *s)
{
	return s->http->request->first_ns || s->streams[DOWN].pending_len;
}

bool http_try_again(struct session *s)
{
	struct http *h = s->http;
	struct http_request *r = h->request;
	const struct conn *c = s->conns[SIDE_BACKEND];

	if (r->retried || is_answered(s) || !c || c->fd < 0 ||
	    (r->replay.lost && h->body[UP].moved))
		return false;
	if (!is_unread(s) && !(r->kept && r->idempotent && !r->spliced))
		return false;
	if (r->kept)
		idle_note_end(s->home->idle, c);
	r->retried = true;
	stat_inc(&s->home->stats->retries);
	http_release_server(s, false);
	h->close = r->last || s->home->drain != DRAIN_NONE;
	/* Its listener may be gone. */
	http_follow(s);
	http_enter(s, HTTP_CONNECTING);
	http_dial(s);
	return true;
}

bool http_is_stale(const struct session *s)
{
	const struct conn *c = s->conns[SIDE_BACKEND];

	return s->http->request->kept && s->http->n_requests > 1 && !is_answered(s) && c &&
	       (c->failed || is_unread(s));
}

// SPDX-License-Identifier: GPL-2.0-or-later
/* A socket of an exchange has failed, or its client has given up. */
#include <errno.h>
#include <string.h>

#include "../listener.h"
#include "../log.h"
#include "exchange.h"

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
	log_session(LOG_LVL_DEBUG, s->id, ": %s: %s", c->side == SIDE_CLIENT ? "client" : "server",
		    strerror(err));
	if (err == ENOMEM || err == ENOBUFS) {
		no_room(s, c->side);
		return;
	}
	if (c->side == SIDE_BACKEND) {
		/* What a reset gives once the peer's FIN has come (tcp_reset). */
		c->end_first = c->tcp && err == EPIPE;
		/* Of a tunnel that its last bytes may still make. */
		s->end = why;
		server_failed(s, c);
		return;
	}
	c->failed = true;
	if (s->http->phase >= HTTP_CLOSING || s->http->phase == HTTP_IDLE) {
		session_end(s, c->lost ? END_CLIENT_LOST : END_CLIENT_RESET);
		return;
	}
	http_abort(s, c->lost ? HTTP_END_CLIENT_LOST : HTTP_END_CLIENT_RESET);
}

bool http_give_up(struct session *s)
{
	enum http_phase phase = s->http->phase;

	if (!s->listener->config->abort_on_close || !s->conns[SIDE_CLIENT]->fin_seen ||
	    (phase != HTTP_CONNECTING && phase != HTTP_WAITING))
		return false;
	s->polite = s->given_up = true;
	http_abort(s, HTTP_END_CLIENT_CLOSED);
	return true;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/* Which connection to a server a request may go on. */
#include "../upstream/dial.h"
#include "../listener.h"
#include "../upstream/pool.h"
#include "exchange.h"

static bool fits(const struct http_body *b)
{
	return b->done || (b->kind == BODY_LENGTH && b->left <= HTTP_REPLAY_MAX);
}

/* Whether the request may be sent again whatever has become of it. */
static bool is_repeatable(const struct session *s)
{
	return s->http->request->idempotent && fits(&s->http->body[UP]);
}

static bool may_share(const struct session *s)
{
	const struct http *h = s->http;

	switch (s->pool->config->reuse) {
	case REUSE_ALWAYS:
		return true;
	case REUSE_SAFE:
		/* A client knows that its connection may end between two requests, and sends the
		 * second one again. For its first one it does not expect that. */
		return h->n_requests > 1 || is_repeatable(s);
	default:
		return false;
	}
}

/* A tunnel wants a connection that is certain to live, and cannot be asked for twice; what is sent
 * again does, too. */
static bool is_single(const struct session *s)
{
	return s->http->request->retried || s->http->request->method_id == METHOD_CONNECT;
}

/* Whether its tunnel may be joined. The servers of other requests are none of the bypass's. */
static bool may_be_joined(const struct session *s)
{
	const struct http_request *r = s->http->request;

	return listener_marks_servers(s->listener) &&
	       (r->upgrade || r->method_id == METHOD_CONNECT);
}

static bool is_from_client(const struct session *s)
{
	return s->pool->config->source == SOURCE_CLIENT;
}

void http_dial(struct session *s)
{
	const struct dial_plan plan = {
	    .pool = s->pool,
	    .silence = MAX(s->listener->silence, s->pool->config->keepalive_timeout),
	    .speaks = true,
	    .original = s->original,
	    .client = is_from_client(s) ? &s->client_conn.peer : NULL,
	    .own = is_single(s) ? NULL : &s->http->own,
	    /* Those that are kept began without a header. */
	    .idle = !is_single(s) && may_share(s) && s->pool->config->send_proxy == PROXY_SEND_NO,
	    .careful = !is_repeatable(s),
	    .bypass = may_be_joined(s),
	    .fresh = may_be_joined(s),
	};

	session_dial(s, &plan);
}

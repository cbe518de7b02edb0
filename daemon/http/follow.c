// SPDX-License-Identifier: GPL-2.0-or-later
/* A client's connection over a reload: from request to request it goes by the newest setup. */
#include "../listener.h"
#include "../setup.h"
#include "../stats.h"
#include "exchange.h"

/* ---- the listener it may go on with ----------------------------------------------------- */

static bool has_bind(const struct listener_config *c, const struct addr *wanted, size_t at)
{
	/* Mostly nothing has changed. */
	if (at < c->n_binds && addr_equal(&c->binds[at], wanted))
		return true;
	for (size_t i = 0; i < c->n_binds; i++)
		if (addr_equal(&c->binds[i], wanted))
			return true;
	return false;
}

/* Whichever address of the listener the client has come to, it is one of the newer one's. */
static bool has_binds_of(const struct listener_config *c, const struct listener_config *was)
{
	if (c->ipv6_only != was->ipv6_only)
		return false;
	for (size_t i = 0; i < was->n_binds; i++)
		if (!has_bind(c, &was->binds[i], i))
			return false;
	return true;
}

/* Whose word about a client counts is decided at a connection's begin, and only there. */
static bool trusts_as(const struct listener_config *c, const struct listener_config *was)
{
	if (c->accept_proxy != was->accept_proxy || c->n_trusted != was->n_trusted)
		return false;
	for (size_t i = 0; i < c->n_trusted; i++)
		if (!cidr_equal(&c->trusted[i], &was->trusted[i]))
			return false;
	return true;
}

static bool speaks_http(const struct listener_config *c)
{
	return c->protocol == PROTOCOL_HTTP || c->protocol == PROTOCOL_AUTO;
}

/* What the file has made of its listener since; NULL: there is none that is for this client. */
static struct listener *successor(const struct session *s)
{
	const struct listener_config *was = s->listener->config;
	struct listener *l = s->listener->account->parts[s->home->index].now;

	/* A worker that is about to hear of it may have been given a client of the newest already.
	 */
	if (s->listener->setup->number > s->home->setup->number)
		return s->listener;
	if (!l || l == s->listener)
		return l;
	return speaks_http(l->config) && has_binds_of(l->config, was) && trusts_as(l->config, was)
		   ? l
		   : NULL;
}

/* ---- what it brings with it ------------------------------------------------------------- */

/* Of a sender that has said it speaks for itself nobody asks that. */
static bool is_denied_by(const struct session *s, const struct listener *l)
{
	return !(s->about && s->about->for_itself) && !listener_allows(l, &s->client_conn.peer);
}

/* One of whom the file now says so has been turned away when a request of its is. */
static void deny(struct session *s, bool denied)
{
	s->http->newly_denied = denied && (!s->denied || s->http->newly_denied);
	s->denied = denied;
}

static bool same_keepalive(const struct tcp_keepalive *a, const struct tcp_keepalive *b)
{
	return a->mode == b->mode && a->idle == b->idle && a->interval == b->interval &&
	       a->count == b->count;
}

/* The socket has it of the listening one. What cannot be set leaves it as it was. */
static void follow_keepalive(const struct session *s, const struct listener *l)
{
	const struct tcp_keepalive *now = &l->config->tcp_keepalive;
	const struct listener *was = s->listener;
	bool asked = conn_wants_keepalive(&was->config->tcp_keepalive, was->silence);
	bool asks = conn_wants_keepalive(now, l->silence);

	if (!s->client_conn.tcp ||
	    (asks == asked && (!asks || same_keepalive(now, &was->config->tcp_keepalive))))
		return;
	(void)conn_change_keepalive(s->client_conn.fd, asks ? now : NULL);
}

void http_follow(struct session *s)
{
	struct listener *l = successor(s);

	if (!l && http_may_say_close(s->http))
		s->http->close = true;
	if (!l || l == s->listener || s->http->phase != HTTP_IDLE)
		return;
	/* Connections to servers that are removed would outlive them. */
	own_check(&s->http->own);
	follow_keepalive(s, l);
	deny(s, is_denied_by(s, l));
	session_move(s, l);
}

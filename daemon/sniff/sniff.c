// SPDX-License-Identifier: GPL-2.0-or-later
#include "sniff.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "../daemon.h"
#include "../http/http.h"
#include "../listener.h"
#include "../log.h"
#include "../route.h"
#include "../session.h"
#include "../splice/copy.h"
#include "../worker.h"
#include "guess.h"
#include "h2.h"
#include "hello.h"
#include "proxyheader.h"

/* More than any parser wants to see; a client that needs more is refused by its own parser. */
#define SNIFF_MAX (160 * 1024)

enum step {
	STEP_MORE,    /* not enough has come */
	STEP_ON,      /* this part is done, the next may begin */
	STEP_DECIDED, /* the session was routed, refused, or has ended */
};

/* ---- the list of those that have not said enough ---------------------------------------- */

static void sniff_begin(struct worker *w, struct session *s)
{
	unsigned int share = w->daemon->config->max_sniffing / w->daemon->n_workers;

	s->sniffing = true;
	TAILQ_INSERT_TAIL(&w->sniffing, s, sniff_link);
	w->n_sniffing++;
	if (w->n_sniffing > MAX(share, 1U)) {
		struct session *oldest = TAILQ_FIRST(&w->sniffing);

		session_end(oldest, END_SNIFF_LIMIT);
	}
}

void sniff_done(struct session *s)
{
	struct worker *w = s->worker;

	if (!s->sniffing)
		return;
	s->sniffing = false;
	w->n_sniffing--;
	TAILQ_REMOVE(&w->sniffing, s, sniff_link);
}

/* ---- deciding --------------------------------------------------------------------------- */

/* On its way: nothing more is looked at. */
static enum step go(struct session *s, struct route_query *query)
{
	sniff_done(s);
	s->client_conn.readable = s->client_conn.writable = true;
	query->src = &s->client;
	session_to_pool(s, listener_route(s->listener, query));
	return STEP_DECIDED;
}

static enum step refuse(struct session *s, enum session_end end, const char *what, const char *why)
{
	log_debug("session %llu: %s: %s", (unsigned long long)s->id, what, why);
	session_refuse(s, end);
	return STEP_DECIDED;
}

static enum step as_tcp(struct session *s)
{
	return go(s, &(struct route_query){0});
}

static const uint8_t *at_hand(const struct session *s, size_t *len)
{
	const struct stream *up = &s->streams[UP];

	*len = up->pending_len;
	return (const uint8_t *)up->pending + up->pending_at;
}

static void consume(struct session *s, size_t n)
{
	struct stream *up = &s->streams[UP];

	up->pending_at += (uint32_t)n;
	up->pending_len -= (uint32_t)n;
	if (!up->pending_len)
		stream_fini(up);
}

static enum step look_for_hello(struct session *s)
{
	struct session_about *about;
	struct client_hello hello;
	const uint8_t *buf;
	size_t len;
	int r;

	buf = at_hand(s, &len);
	r = client_hello_parse(buf, len, &hello);
	if (r == 0)
		return STEP_MORE;
	if (r < 0)
		return refuse(s, r == -HELLO_NOT_TLS ? END_NOT_TLS : END_BAD_HELLO, "ClientHello",
			      hello_error_str[-r]);
	about = session_about(s);
	if (!about)
		return STEP_DECIDED;
	about->protocol = "tls";
	memcpy(about->sni, hello.sni, sizeof(about->sni));
	memcpy(about->alpn, hello.alpn, hello.alpn_len);
	about->alpn_len = hello.alpn_len;
	return go(s, &(struct route_query){.sni = *about->sni ? about->sni : NULL,
					   .alpn = about->alpn,
					   .alpn_len = about->alpn_len});
}

/* HTTP/2 with prior knowledge: routed by its first request, then a tunnel. */
static enum step look_for_h2(struct session *s)
{
	char host[sizeof(((struct h2_request *)0)->authority)];
	struct session_about *about;
	struct h2_request request;
	const uint8_t *buf;
	size_t len;
	int r;

	buf = at_hand(s, &len);
	r = h2_request_parse(buf, len, &request);
	if (r == 0)
		return STEP_MORE;
	if (r < 0)
		return refuse(s, END_BAD_HTTP, "HTTP/2", h2_error_str[-r]);
	if (s->denied)
		return refuse(s, END_DENIED, "HTTP/2", "its client is denied");
	about = session_about(s);
	if (!about)
		return STEP_DECIDED;
	about->protocol = "h2c";
	s->tunnel = true;
	http_host_name(request.authority, strlen(request.authority), host, sizeof(host));
	return go(s, &(struct route_query){.host = host,
					   .path = request.path,
					   .path_len = strlen(request.path),
					   .method = request.method,
					   .method_len = strlen(request.method)});
}

static enum step look_for_http(struct session *s)
{
	const uint8_t *buf;
	size_t len;

	buf = at_hand(s, &len);
	if (!len)
		return STEP_MORE;
	if (h2_preface_starts(buf, len))
		return look_for_h2(s);
	http_start(s);
	return STEP_DECIDED;
}

static enum step look_for_anything(struct session *s)
{
	const uint8_t *buf;
	size_t len;

	buf = at_hand(s, &len);
	if (!len)
		return STEP_MORE;
	switch (guess_protocol(buf, len)) {
	case GUESS_MORE:
		return STEP_MORE;
	case GUESS_TLS:
		return look_for_hello(s);
	case GUESS_HTTP:
		return look_for_http(s);
	default:
		return as_tcp(s);
	}
}

/* Whether the peer's word about the client counts. */
static bool is_trusted(const struct session *s)
{
	const struct listener_config *c = s->listener->config;

	for (size_t i = 0; i < c->n_trusted; i++)
		if (cidr_match(&c->trusted[i], &s->client))
			return true;
	return c->n_trusted == 0 && c->accept_proxy != PROXY_ACCEPT_NO;
}

/* The header is complete: from now on the session is the announced client's. */
static enum step believe(struct session *s, const struct proxy_header *h)
{
	struct session_about *about = session_about(s);

	s->proxied = true;
	if (!about)
		return STEP_DECIDED;
	/* LOCAL: the peer speaks for itself, and is allowed or denied like everybody. */
	if (h->src.len)
		s->client = h->src;
	about->dst = h->dst;
	memcpy(about->sni, h->authority, sizeof(about->sni));
	if (h->alpn_len && h->alpn_len < sizeof(about->alpn)) {
		about->alpn[0] = (char)h->alpn_len;
		memcpy(about->alpn + 1, h->alpn, h->alpn_len);
		about->alpn_len = (uint16_t)(h->alpn_len + 1);
	}
	memcpy(about->unique_id, h->unique_id, h->unique_id_len);
	about->unique_id_len = h->unique_id_len;
	if (!listener_allows(s->listener, &s->client)) {
		stat_inc(&s->worker->stats.denied);
		s->denied = s->listener->config->protocol == PROTOCOL_HTTP;
		if (s->denied)
			return STEP_ON;
		return refuse(s, END_DENIED, "PROXY header", "its client is denied");
	}
	return STEP_ON;
}

static enum step look_for_proxy(struct session *s)
{
	const struct listener_config *c = s->listener->config;
	enum proxy_accept versions = c->accept_proxy;
	struct proxy_header h;
	const uint8_t *buf;
	enum step step;
	size_t len;
	int r;

	if (s->proxied || (versions == PROXY_ACCEPT_NO && c->protocol != PROTOCOL_AUTO))
		return STEP_ON;
	buf = at_hand(s, &len);
	if (!len)
		return STEP_MORE;
	/* protocol = auto finds it out, like everything else. */
	if (versions == PROXY_ACCEPT_NO) {
		if (!proxy_header_starts(buf, len))
			return STEP_ON;
		versions = PROXY_ACCEPT_ANY;
	}
	if (!is_trusted(s))
		return refuse(s, END_UNTRUSTED_PROXY, "PROXY header", "the peer is not trusted");
	r = proxy_header_parse(buf, len, versions, &h);
	if (r == 0)
		return STEP_MORE;
	if (r < 0)
		return refuse(s, END_BAD_PROXY, "PROXY header", proxy_error_str[-r]);
	step = believe(s, &h);
	if (step != STEP_ON)
		return step;
	consume(s, (size_t)r);
	/* It may be that now the server speaks. */
	if (c->protocol == PROTOCOL_AUTO)
		session_arm(s, c->auto_wait);
	return STEP_ON;
}

static enum step look(struct session *s)
{
	enum step step = look_for_proxy(s);

	if (step != STEP_ON)
		return step;
	switch (s->listener->config->protocol) {
	case PROTOCOL_TLS:
		return look_for_hello(s);
	case PROTOCOL_HTTP:
		return look_for_http(s);
	case PROTOCOL_AUTO:
		return look_for_anything(s);
	default:
		return as_tcp(s);
	}
}

/* ---- events ----------------------------------------------------------------------------- */

/* Whether a client that says nothing says enough: its server speaks first. */
static bool may_be_silent(const struct session *s)
{
	const struct listener_config *c = s->listener->config;

	return c->protocol == PROTOCOL_AUTO && (c->accept_proxy == PROXY_ACCEPT_NO || s->proxied);
}

void sniff_start(struct session *s)
{
	const struct listener_config *c = s->listener->config;

	if (c->protocol == PROTOCOL_TCP && c->accept_proxy == PROXY_ACCEPT_NO) {
		(void)as_tcp(s);
		return;
	}
	session_arm(s, may_be_silent(s) ? MIN(c->auto_wait, c->sniff_timeout) : c->sniff_timeout);
	sniff_begin(s->worker, s);
}

/* The client has ended without having said enough. */
static void ended(struct session *s)
{
	size_t len;

	(void)at_hand(s, &len);
	s->client_conn.fin_seen = true;
	if (len && s->listener->config->protocol == PROTOCOL_AUTO) {
		(void)as_tcp(s);
		return;
	}
	s->polite = true;
	session_end(s, END_CLIENT_CLOSED);
}

void sniff_readable(struct session *s)
{
	struct stream *up = &s->streams[UP];
	struct conn *c = &s->client_conn;
	enum step step = STEP_MORE;
	ssize_t n;

	do {
		if (up->pending_len >= SNIFF_MAX) {
			session_end(s, END_SNIFF_LIMIT);
			return;
		}
		n = recv(c->fd, s->worker->buffer, SNIFF_MAX - up->pending_len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			session_end(s, errno == ECONNRESET ? END_CLIENT_RESET : END_ERROR);
			return;
		}
		if (n == 0) {
			ended(s);
			return;
		}
		c->received += (uint64_t)n;
		if (stream_keep(up, s->worker->buffer, (size_t)n) < 0) {
			session_end(s, END_LIMIT);
			return;
		}
		step = look(s);
		if (step == STEP_MORE)
			conn_ack_at_once(c->fd);
	} while (step == STEP_MORE);
}

void sniff_timeout(struct session *s)
{
	const struct listener_config *c = s->listener->config;
	uint64_t waited = s->worker->now - s->began_ns;
	size_t len;

	(void)at_hand(s, &len);
	if (!len && may_be_silent(s)) {
		(void)as_tcp(s);
		return;
	}
	if (waited < c->sniff_timeout) {
		session_arm(s, c->sniff_timeout - waited);
		return;
	}
	s->polite = true;
	session_refuse(s, END_SNIFF_TIMEOUT);
}

// SPDX-License-Identifier: GPL-2.0-or-later
/* What a session's client speaks, and where that leads. */
#include "look.h"
#include "waiting.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "../http/http.h"
#include "../http/syntax.h"
#include "../listener.h"
#include "../log.h"
#include "../route.h"
#include "../session.h"
#include "../tcp.h"
#include "h2ack.h"
#include "h2frame.h"
#include "state.h"

/* Nothing matches. A client of TLS is told so, others get a reset. */
static void refuse_route(struct session *s)
{
	uint8_t alert[TLS_ALERT_BYTES];
	size_t n;

	if (s->about && s->about->protocol && strcmp(s->about->protocol, "tls") == 0) {
		n = tls_alert_build(alert, TLS_ALERT_UNRECOGNIZED_NAME);
		/* The first bytes on their connection fit; where they are lost, the end tells. */
		(void)send(s->client_conn.fd, alert, n, MSG_NOSIGNAL);
		s->polite = true;
	}
	session_end(s, END_NO_ROUTE);
}

/* On its way: nothing more is looked at. */
static enum step go(struct session *s, struct route_query *query)
{
	struct addr local;
	struct pool *pool;

	sniff_done(s);
	s->client_conn.readable = s->client_conn.writable = true;
	query->src = &s->client_conn.peer;
	if (s->listener->asks_destination)
		query->dst = session_destination(s, &local);
	pool = listener_route(s->listener, query);
	if (session_finds_no_room(s)) {
		s->pool = pool;
		session_end(s, END_LIMIT);
	} else if (pool) {
		tcp_dial(s, pool);
	} else {
		refuse_route(s);
	}
	return STEP_DECIDED;
}

enum step sniff_refuse(struct session *s, enum session_end end, const char *what, const char *why)
{
	log_session(LOG_LVL_DEBUG, s->id, ": %s: %s", what, why);
	session_end(s, end);
	return STEP_DECIDED;
}

enum step sniff_as_tcp(struct session *s)
{
	return go(s, &(struct route_query){0});
}

const uint8_t *sniff_at_hand(const struct session *s, size_t *len)
{
	const struct stream *up = &s->streams[UP];

	*len = up->pending_len;
	return (const uint8_t *)up->pending + up->pending_at;
}

void sniff_consume(struct session *s, size_t n)
{
	struct stream *up = &s->streams[UP];

	up->pending_at += (uint32_t)n;
	up->pending_len -= (uint32_t)n;
	if (up->pending_len)
		return;
	stream_fini(up);
	s->sniff->room = 0;
}

/* A name that is none is told in the log's line, as the client sent it. */
static enum step refuse_hello(struct session *s, enum hello_error error, const char *sni)
{
	struct session_about *about = error == HELLO_BAD_SNI ? session_about(s) : NULL;

	if (error == HELLO_BAD_SNI && !about)
		return STEP_DECIDED;
	if (about) {
		about->protocol = "tls";
		memcpy(about->sni, sni, sizeof(about->sni));
		about->alpn_len = 0;
	}
	return sniff_refuse(s, error == HELLO_NOT_TLS ? END_NOT_TLS : END_BAD_HELLO, "ClientHello",
			    hello_error_str[error]);
}

static enum step look_for_hello(struct session *s)
{
	struct client_hello hello = {.sni = ""};
	struct session_about *about;
	const uint8_t *buf;
	size_t len;
	int r;

	buf = sniff_at_hand(s, &len);
	r = client_hello_read(&s->sniff->hello, buf, len, &hello);
	if (r == 0)
		return STEP_MORE;
	if (r < 0)
		return refuse_hello(s, -r, hello.sni);
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

bool sniff_awaits_settings(const struct session *s)
{
	size_t len;

	(void)sniff_at_hand(s, &len);
	return s->sniff->is_h2 && !s->sniff->settled && h2_request_awaited(&s->sniff->h2, len);
}

/* The client's acknowledgement of the daemon's SETTINGS has come before its request. */
static void take_ack(struct session *s)
{
	struct stream *up = &s->streams[UP];
	struct h2_reader *r = &s->sniff->h2;
	char *ack = up->pending + up->pending_at + r->ack_at;

	up->pending_len -= H2_FRAME_HEADER;
	memmove(ack, ack + H2_FRAME_HEADER, up->pending_len - r->ack_at);
	r->ack_at = 0;
	r->take_ack = false;
}

/* What is to come of it is in what follows the request's head, which ends at `end`. */
static int filter_ack(struct session *s, size_t end)
{
	struct stream *up = &s->streams[UP];
	char *data = up->pending + up->pending_at + end;
	size_t len = up->pending_len - end;

	if (!s->sniff->h2.take_ack)
		return 0;
	up->filter = h2_ack_filter();
	if (!up->filter)
		return -ENOMEM;
	stream_pass(up, &data, &len, false);
	up->pending_len = (uint32_t)(end + len);
	return 0;
}

static int read_h2(struct session *s, struct h2_request *ret)
{
	const uint8_t *buf;
	size_t len;
	int r;

	s->sniff->is_h2 = true;
	do {
		if (s->sniff->h2.ack_at)
			take_ack(s);
		buf = sniff_at_hand(s, &len);
		r = h2_request_read(&s->sniff->h2, buf, len, ret);
	} while (r == 0 && s->sniff->h2.ack_at);
	return r;
}

/* HTTP/2 with prior knowledge: routed by its first request, then a tunnel. */
static enum step look_for_h2(struct session *s)
{
	char host[sizeof(((struct h2_request *)0)->authority)];
	struct session_about *about;
	struct h2_request request;
	int r = read_h2(s, &request);

	if (r == 0)
		return STEP_MORE;
	if (r < 0)
		return sniff_refuse(s, END_BAD_HTTP, "HTTP/2", h2_error_str[-r]);
	if (s->denied)
		return sniff_refuse(s, END_DENIED, "HTTP/2", "its client is denied");
	about = session_about(s);
	if (!about)
		return STEP_DECIDED;
	about->protocol = "h2c";
	if (filter_ack(s, (size_t)r) < 0)
		return sniff_refuse(s, END_LIMIT, "HTTP/2", "out of memory");
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

	buf = sniff_at_hand(s, &len);
	if (!len)
		return STEP_MORE;
	/* Where it is refused it is read as HTTP/1, of a version that does not exist. */
	if (s->listener->tunnels_h2 && h2_preface_starts(buf, len))
		return look_for_h2(s);
	sniff_leave(s);
	http_start(s);
	return STEP_DECIDED;
}

static enum step look_for_anything(struct session *s)
{
	const uint8_t *buf;
	size_t len;

	buf = sniff_at_hand(s, &len);
	if (!len)
		return STEP_MORE;
	if (s->sniff->guessed == GUESS_MORE)
		s->sniff->guessed = guess_protocol(buf, len, &s->sniff->scanned);
	switch (s->sniff->guessed) {
	case GUESS_MORE:
		return STEP_MORE;
	case GUESS_TLS:
		return look_for_hello(s);
	case GUESS_HTTP:
		return look_for_http(s);
	default:
		return sniff_as_tcp(s);
	}
}

enum step sniff_protocol(struct session *s)
{
	switch (s->listener->config->protocol) {
	case PROTOCOL_TLS:
		return look_for_hello(s);
	case PROTOCOL_HTTP:
		return look_for_http(s);
	case PROTOCOL_AUTO:
		return look_for_anything(s);
	default:
		return sniff_as_tcp(s);
	}
}

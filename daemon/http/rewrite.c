// SPDX-License-Identifier: GPL-2.0-or-later
#include "rewrite.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../listener.h"
#include "date.h"
#include "field.h"
#include "syntax.h"

struct writer {
	char *at, *end;
	bool full;
};

static void put(struct writer *w, const char *data, size_t len)
{
	if ((size_t)(w->end - w->at) < len) {
		w->full = true;
		return;
	}
	memcpy(w->at, data, len);
	w->at += len;
}

static void put_text(struct writer *w, const char *text)
{
	put(w, text, strlen(text));
}

static void put_slice(struct writer *w, const char *in, struct http_slice s)
{
	put(w, in + s.at, s.len);
}

static void put_fmt(struct writer *w, const char *fmt, ...) _printf_(2, 3);
static void put_fmt(struct writer *w, const char *fmt, ...)
{
	char line[256];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(line))
		w->full = true;
	else
		put(w, line, (size_t)n);
}

static void put_field(struct writer *w, const char *in, const struct http_field *f)
{
	put_slice(w, in, f->name);
	put(w, ": ", 2);
	put_slice(w, in, f->value);
	put(w, "\r\n", 2);
}

/* What the length says, however it was written. */
static void put_length(struct writer *w, const char *in, const struct http_field *f, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + n % 10);
	while (n /= 10);
	put_slice(w, in, f->name);
	put(w, ": ", 2);
	put(w, digits + at, sizeof(digits) - at);
	put(w, "\r\n", 2);
}

/* The Upgrade fields as one, without what cannot be had here. */
static void put_upgrade(struct writer *w, const struct http_head *head, const char *in)
{
	bool first = true;

	for (unsigned int i = 0; i < head->n_fields; i++) {
		struct http_slice rest = head->fields[i].value, protocol;

		if (head->fields[i].id != FIELD_UPGRADE)
			continue;
		while (list_next(in, &rest, &protocol)) {
			if (!protocol.len || http_upgrade_is_h2(in + protocol.at, protocol.len))
				continue;
			put_text(w, first ? "Upgrade: " : ", ");
			put_slice(w, in, protocol);
			first = false;
		}
	}
	if (!first)
		put(w, "\r\n", 2);
}

static size_t finished(const struct writer *w, const char *out)
{
	return w->full ? 0 : (size_t)(w->at - out);
}

/* ---- requests --------------------------------------------------------------------------- */

static bool is_named(const char *in, const struct http_field *f, const char *name)
{
	return strncasecmp(in + f->name.at, name, f->name.len) == 0;
}

/*
 * Whether the listener's own value takes the place of what the client sent. Where it is added to
 * what came, another spelling still goes: a program may see nothing but that.
 */
static bool is_replaced(const struct listener_config *c, const struct http_head *head,
			const struct http_field *f)
{
	bool same = f->id != FIELD_OTHER;

	switch (same ? f->id : f->alias) {
	case FIELD_OTHER:
	case FIELD_VIA:
	case FIELD_DATE:
	case FIELD_TRAILER:
	case FIELD_UPGRADE:
	case FIELD_TRACEPARENT:
	case FIELD_TRACESTATE:
		return false;
	case FIELD_X_FORWARDED_FOR:
		return c->x_forwarded_for == FORWARD_REPLACE ||
		       (!same && c->x_forwarded_for != FORWARD_NO);
	case FIELD_X_FORWARDED_PROTO:
		return c->x_forwarded_proto;
	case FIELD_FORWARDED:
		return c->forwarded == FORWARD_REPLACE;
	case FIELD_EXPECT:
		/* Who speaks HTTP/1.0 expects nothing (RFC 9110 10.1.1). */
		return head->minor == 0;
	case FIELD_MAX_FORWARDS:
		return !same || head->has_max_forwards;
	case FIELD_CONTENT_LENGTH:
		return !same;
	default:
		return true;
	}
}

/* Whether a request goes on without the field. */
static bool is_dropped(const struct listener_config *c, const struct http_head *head,
		       const struct trace *trace, const char *in, const struct http_field *f)
{
	const char *id = c->request_id;

	/* What is said of the trace before is of no other one. */
	if (*trace->parent && (f->id == FIELD_TRACEPARENT || f->id == FIELD_TRACESTATE))
		return true;

	if (f->id == FIELD_OTHER && f->name.len == strlen(id) &&
	    names_alike(in + f->name.at, id, f->name.len))
		return !is_named(in, f, id) || !f->value.len;
	return is_replaced(c, head, f) || (f->underscore && !c->underscores_in_headers) ||
	       http_is_hop_by_hop(f);
}

/* The address alone; for Forwarded, IPv6 in brackets and quotes (RFC 7239, 6). */
static void put_client(struct writer *w, const struct addr *a, bool quoted)
{
	char text[INET6_ADDRSTRLEN] = "unknown";

	if (a->sa.sa_family == AF_INET)
		(void)inet_ntop(AF_INET, &a->in4.sin_addr, text, sizeof(text));
	else if (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
		(void)inet_ntop(AF_INET, &a->in6.sin6_addr.s6_addr[12], text, sizeof(text));
	else if (a->sa.sa_family == AF_INET6)
		(void)inet_ntop(AF_INET6, &a->in6.sin6_addr, text, sizeof(text));
	put_fmt(w, quoted && strchr(text, ':') ? "\"[%s]\"" : "%s", text);
}

static void put_forwarded(struct writer *w, const struct session *s, const struct http_head *head,
			  const char *in)
{
	put_text(w, "Forwarded: for=");
	put_client(w, &s->client_conn.peer, true);
	if (head->has_host) {
		put_text(w, ";host=\"");
		put_slice(w, in, head->host);
		put(w, "\"", 1);
	}
	put_text(w, ";proto=http\r\n");
}

static void put_added(struct writer *w, const struct session *s, const struct http_head *head,
		      const struct trace *trace, const char *in, bool has_id)
{
	const struct listener_config *c = s->listener->config;

	if (c->x_forwarded_for != FORWARD_NO) {
		put_text(w, "X-Forwarded-For: ");
		put_client(w, &s->client_conn.peer, false);
		put(w, "\r\n", 2);
	}
	if (c->x_forwarded_proto)
		put_text(w, "X-Forwarded-Proto: http\r\n");
	if (c->forwarded != FORWARD_NO)
		put_forwarded(w, s, head, in);
	if (*c->via)
		put_fmt(w, "Via: 1.%u %s\r\n", head->minor, c->via);
	if (*c->request_id && !has_id)
		put_fmt(w, "%s: %016llx-%llx-%llx\r\n", c->request_id,
			(unsigned long long)s->home->instance, (unsigned long long)s->id,
			(unsigned long long)s->http->n_requests);
	if (*trace->parent)
		put_fmt(w, "traceparent: %s\r\n", trace->parent);
}

/* The target: in origin form, but for CONNECT and OPTIONS *. */
static void put_request_line(struct writer *w, const struct http_head *head, const char *in)
{
	put_slice(w, in, head->method);
	put(w, " ", 1);
	if (head->path_absent && head->method_id == METHOD_OPTIONS && in[head->path.at] == '/')
		put(w, "*", 1);
	else if (head->form == TARGET_AUTHORITY || head->form == TARGET_ASTERISK)
		put_slice(w, in, head->target);
	else if (head->path.len == 0 || in[head->path.at] != '/')
		put(w, "/", 1), put_slice(w, in, head->path);
	else
		put_slice(w, in, head->path);
	put_text(w, " HTTP/1.1\r\n");
}

/* What is said anew on each hop. */
static void put_hop(struct writer *w, const struct http_head *head, const char *in)
{
	if (head->chunked)
		put_text(w, "Transfer-Encoding: chunked\r\n");
	if (head->has_max_forwards)
		put_fmt(w, "Max-Forwards: %u\r\n", head->max_forwards - 1);
	if (head->te_trailers)
		put_text(w, "TE: trailers\r\n");
	if (head->upgrade)
		put_upgrade(w, head, in);
	if (head->upgrade || head->te_trailers)
		put_fmt(w, "Connection: %s%s\r\n", head->upgrade ? "upgrade" : "TE",
			head->upgrade && head->te_trailers ? ", TE" : "");
}

/* A client of HTTP/1.0 need not say whom it asks: whom it has connected to. */
static void put_own_address(struct writer *w, const struct session *s)
{
	struct addr own = {.len = sizeof(struct sockaddr_un)};
	char text[ADDR_STR_MAX];

	if (s->client_conn.tcp && getsockname(s->client_conn.fd, &own.sa, &own.len) == 0) {
		addr_unmap(&own);
		put_text(w, addr_format(&own, text));
	} else {
		put_text(w, "localhost");
	}
}

size_t rewrite_request(const struct session *s, const struct http_head *head,
		       const struct trace *trace, const char *in, char *out, size_t size)
{
	const struct listener_config *c = s->listener->config;
	struct writer w = {.at = out, .end = out + size};
	bool has_id = false, is_id;

	put_request_line(&w, head, in);
	put_text(&w, "Host: ");
	if (head->has_host)
		put_slice(&w, in, head->host);
	else
		put_own_address(&w, s);
	put(&w, "\r\n", 2);
	for (unsigned int i = 0; i < head->n_fields; i++) {
		const struct http_field *f = &head->fields[i];

		is_id = f->name.len == strlen(c->request_id) && is_named(in, f, c->request_id);
		if (is_dropped(c, head, trace, in, f) || (is_id && has_id))
			continue;
		has_id |= is_id;
		if (f->id == FIELD_CONTENT_LENGTH)
			put_length(&w, in, f, head->content_length);
		else
			put_field(&w, in, f);
	}
	put_hop(&w, head, in);
	put_added(&w, s, head, trace, in, has_id);
	put(&w, "\r\n", 2);
	return finished(&w, out);
}

size_t rewrite_trace(const struct http_head *head, const char *in, char *out, size_t size)
{
	struct writer w = {.at = out, .end = out + size};

	put_slice(&w, in, head->method);
	put(&w, " ", 1);
	put_slice(&w, in, head->target);
	put_fmt(&w, " HTTP/1.%u\r\n", head->minor);
	for (unsigned int i = 0; i < head->n_fields; i++) {
		const struct http_field *f = &head->fields[i];

		if (!name_is_credential(in + f->name.at, f->name.len))
			put_field(&w, in, f);
	}
	put(&w, "\r\n", 2);
	return finished(&w, out);
}

/* ---- responses -------------------------------------------------------------------------- */

static void put_connection(struct writer *w, enum rewrite_connection say, bool upgrade)
{
	static const char *const options[] = {
	    [SAY_NOTHING] = "", [SAY_CLOSE] = "close", [SAY_KEEP_ALIVE] = "keep-alive"};
	const char *option = options[say];

	if (*option || upgrade)
		put_fmt(w, "Connection: %s%s%s\r\n", option, *option && upgrade ? ", " : "",
			upgrade ? "upgrade" : "");
}

static bool frames(const struct http_field *f)
{
	enum http_field_id id = f->id != FIELD_OTHER ? f->id : f->alias;

	return id == FIELD_CONTENT_LENGTH || id == FIELD_TRANSFER_ENCODING;
}

/* No body can follow, whatever a length says. */
static bool is_bodiless(const struct session *s, const struct http_head *head)
{
	return head->status < 200 || head->status == 204 ||
	       (s->http->request->method_id == METHOD_CONNECT && head->status < 300);
}

size_t rewrite_response(const struct session *s, const struct http_head *head, const char *in,
			enum rewrite_connection say, bool chunked, char *out, size_t size)
{
	const struct listener_config *c = s->listener->config;
	struct writer w = {.at = out, .end = out + size};
	/* 426 says what to upgrade to, 101 to what it was (RFC 9110 7.8). */
	bool upgrade = head->status == 101 || head->status == 426, upgrades = head->status == 101;

	put_fmt(&w, "HTTP/1.1 %03u ", head->status);
	put_slice(&w, in, head->reason);
	put(&w, "\r\n", 2);
	for (unsigned int i = 0; i < head->n_fields; i++) {
		const struct http_field *f = &head->fields[i];

		if (f->id == FIELD_UPGRADE && upgrade) {
			put_field(&w, in, f);
			upgrades = true;
		} else if (f->id == FIELD_CONTENT_LENGTH && !is_bodiless(s, head)) {
			put_length(&w, in, f, head->content_length);
		} else if (!http_is_hop_by_hop(f) && !frames(f)) {
			put_field(&w, in, f);
		}
	}
	if (chunked)
		put_text(&w, "Transfer-Encoding: chunked\r\n");
	if (!head->has_date && head->status >= 200) {
		put_text(&w, "Date: ");
		put_text(&w, http_date(s->home));
		put(&w, "\r\n", 2);
	}
	if (*c->via)
		put_fmt(&w, "Via: 1.%u %s\r\n", head->minor, c->via);
	put_connection(&w, say, upgrades);
	put(&w, "\r\n", 2);
	return finished(&w, out);
}

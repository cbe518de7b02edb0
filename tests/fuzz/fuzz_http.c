/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Heads of HTTP/1.x, both kinds. Two readings of the same bytes, whole and in pieces, say the same
 * with the same byte; and what is written of a head parses again, as the same message.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../daemon/home.h"
#include "../../daemon/http/parse.h"
#include "../../daemon/http/rewrite.h"
#include "../../daemon/listener.h"

#define FIELDS_MAX  128
#define MORE_FIELDS (FIELDS_MAX + 16)

typedef int (*parse_fn)(const char *, size_t, struct http_scan *, const struct http_limits *,
			struct http_field *, struct http_head *);

static const struct http_limits limits = {32768, FIELDS_MAX};
/* What is written has a few fields and bytes more. */
static const struct http_limits more = {HOME_SCRATCH, MORE_FIELDS};

static void must(bool true_of_every_input)
{
	if (!true_of_every_input)
		abort();
}

/* In memory of just that size, so that a read beyond its end is seen. */
static int parse(parse_fn fn, const char *bytes, size_t len, struct http_scan *scan,
		 struct http_field *fields, struct http_head *ret)
{
	char *copy = malloc(len ? len : 1);
	int r;

	must(copy);
	memcpy(copy, bytes, len);
	r = fn(copy, len, scan, &limits, fields, ret);
	must(scan->at <= len && scan->line <= scan->at);
	must(r > -(int)_HTTP_ERROR_MAX && (r < 0 || (size_t)r <= len));
	free(copy);
	return r;
}

static bool same_slice(struct http_slice a, struct http_slice b)
{
	return a.at == b.at && a.len == b.len;
}

static void same_head(const struct http_head *a, const struct http_head *b)
{
	must(a->minor == b->minor && a->method_id == b->method_id && a->form == b->form);
	must(same_slice(a->method, b->method) && same_slice(a->target, b->target));
	must(same_slice(a->path, b->path) && same_slice(a->host, b->host));
	must(a->status == b->status && same_slice(a->reason, b->reason));
	must(a->has_host == b->has_host && a->path_absent == b->path_absent);
	must(a->has_length == b->has_length && a->content_length == b->content_length);
	must(a->chunked == b->chunked && a->keep_alive == b->keep_alive);
	must(a->connection_close == b->connection_close && a->upgrade == b->upgrade);
	must(a->connection_others == b->connection_others);
	must(a->expect_continue == b->expect_continue && a->n_fields == b->n_fields);
	must(a->has_max_forwards == b->has_max_forwards && a->max_forwards == b->max_forwards);
	for (unsigned int i = 0; i < a->n_fields; i++) {
		const struct http_field *f = &a->fields[i], *g = &b->fields[i];

		must(same_slice(f->name, g->name) && same_slice(f->value, g->value));
		must(f->id == g->id && f->alias == g->alias && f->named == g->named);
	}
}

/* The least bytes after which the whole says what it says in the end. */
static size_t needed(parse_fn fn, const char *bytes, size_t len, int whole)
{
	static struct http_field fields[FIELDS_MAX];
	size_t low = 0, high = len;

	while (whole && low < high) {
		size_t middle = low + (high - low) / 2;
		struct http_scan scan = {0};
		struct http_head head;
		int r = parse(fn, bytes, middle, &scan, fields, &head);

		must(r == 0 || r == whole);
		if (r)
			high = middle;
		else
			low = middle + 1;
	}
	return high;
}

/* In pieces of that size, in memory that is another one each time. */
static void check_pieces(parse_fn fn, const char *bytes, size_t len, size_t step, int whole,
			 size_t enough, const struct http_head *expected)
{
	static struct http_field fields[FIELDS_MAX];
	struct http_scan scan = {0};
	struct http_head head;
	size_t part = 0;
	int r;

	while ((r = parse(fn, bytes, part, &scan, fields, &head)) == 0 && part < len)
		part = part + step < len ? part + step : len;
	must(r == whole);
	if (!whole)
		return;
	must(part >= enough && part < enough + step);
	must(!scan.begun);
	if (whole > 0)
		same_head(expected, &head);
}

/* ---- what is written ---- */

static const struct listener_config *config(const uint8_t *data, size_t len)
{
	static char none[] = "", via[] = "proxy", request_id[] = "X-Request-Id";
	static struct listener_config c;
	uint8_t what = len ? data[len - 1] : 0;

	c.x_forwarded_for = what % 3;
	c.forwarded = what / 3 % 3;
	c.x_forwarded_proto = what & 0x20;
	c.via = what & 0x40 ? via : none;
	c.underscores_in_headers = what & 0x10;
	c.request_id = what & 0x80 ? request_id : none;
	c.traceparent = what % 5 % _TRACEPARENT_MODE_MAX;
	return &c;
}

/* A client of the listener that writes. */
static const struct session *writer(const struct listener_config *c)
{
	static struct home home = {.instance = 1};
	static struct listener listener;
	static struct http_request request = {.method_id = METHOD_GET};
	static struct http http = {.n_requests = 1, .request = &request};
	static struct session session = {
	    .home = &home, .listener = &listener, .http = &http, .client_conn = {.fd = -1}};

	listener.config = c;
	session.client_conn.peer.in4 = (struct sockaddr_in){.sin_family = AF_INET};
	session.client_conn.peer.len = sizeof(session.client_conn.peer.in4);
	return &session;
}

static bool same_text(const char *a, struct http_slice in_a, const char *b, struct http_slice in_b)
{
	return in_a.len == in_b.len && memcmp(a + in_a.at, b + in_b.at, in_a.len) == 0;
}

/* The written head is one head, all of it. */
static void read_again(parse_fn fn, const char *out, size_t n, struct http_head *ret)
{
	static struct http_field fields[MORE_FIELDS];
	struct http_scan scan = {0};

	must(n > 0);
	must(fn(out, n, &scan, &more, fields, ret) == (int)n);
	must(ret->minor == 1);
}

static void check_target(const char *in, const struct http_head *asked, const char *out,
			 const struct http_head *written)
{
	struct http_slice path = asked->path, end = written->path;

	must(same_text(in, asked->method, out, written->method));
	if (asked->form == TARGET_AUTHORITY) {
		must(same_text(in, asked->target, out, written->target));
		return;
	}
	if (written->form == TARGET_ASTERISK)
		must(asked->form == TARGET_ASTERISK || asked->path_absent);
	else
		must(written->form == TARGET_ORIGIN);
	if (asked->path_absent)
		return;
	must(end.len >= path.len && end.len <= path.len + 1);
	end.at += end.len - path.len;
	end.len = path.len;
	must(same_text(in, path, out, end));
}

static void check_written_request(const char *in, const struct http_head *asked,
				  const struct listener_config *c)
{
	static char out[HOME_SCRATCH];
	struct http_head written;
	static const struct listener_config passing = {.traceparent = TRACEPARENT_PASS};
	struct trace trace, again;

	trace_of(c, asked, in, &trace);
	read_again(http_request_parse, out,
		   rewrite_request(writer(c), asked, &trace, in, out, sizeof(out)), &written);
	/* Whoever reads it finds the same trace, and one if it was begun. */
	must(!*trace.parent || *trace.id);
	trace_of(&passing, &written, out, &again);
	must(strcmp(trace.id, again.id) == 0);
	check_target(in, asked, out, &written);
	must(written.has_host);
	if (asked->has_host)
		must(same_text(in, asked->host, out, written.host));
	must(written.chunked == asked->chunked && written.has_length == asked->has_length);
	must(written.content_length == asked->content_length);
	must(written.keep_alive && (asked->upgrade || !written.upgrade));
	must(written.connection_others == asked->te_trailers);
	must(written.expect_continue == asked->expect_continue || !asked->minor);
}

static void check_written_response(const char *in, const struct http_head *said,
				   const struct listener_config *c, enum rewrite_connection say)
{
	static char out[HOME_SCRATCH];
	bool bodiless = said->status < 200 || said->status == 204;
	bool chunked = said->chunked && !bodiless && said->status != 304;
	struct http_head written;

	read_again(http_response_parse, out,
		   rewrite_response(writer(c), said, in, say, chunked, out, sizeof(out)), &written);
	must(written.status == said->status && same_text(in, said->reason, out, written.reason));
	must(written.chunked == chunked);
	must(written.has_length == (said->has_length && !bodiless));
	must(!written.has_length || written.content_length == said->content_length);
	must(written.connection_close == (say == SAY_CLOSE) && !written.connection_others);
}

/* ---- one input ---- */

static void check(parse_fn fn, const char *bytes, size_t len)
{
	static struct http_field fields[FIELDS_MAX];
	struct http_scan scan = {0};
	struct http_head head;
	uint8_t last = len ? (uint8_t)bytes[len - 1] : 0;
	int r = parse(fn, bytes, len, &scan, fields, &head);
	size_t enough = needed(fn, bytes, len, r);

	must(r <= 0 || enough == (size_t)r);
	must(r != 0 || len < limits.head_max);
	check_pieces(fn, bytes, len, 1 + last % 31, r, enough, &head);
	if (len < 2048)
		check_pieces(fn, bytes, len, 1, r, enough, &head);
	if (r <= 0)
		return;
	if (head.is_response)
		check_written_response(bytes, &head, config((const uint8_t *)bytes, len), last % 3);
	else if (!head.has_max_forwards || head.max_forwards) /* else it goes nowhere */
		check_written_request(bytes, &head, config((const uint8_t *)bytes, len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	check(http_request_parse, (const char *)data, len);
	check(http_response_parse, (const char *)data, len);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Heads of HTTP/1.x: what is accepted, what is refused and by which name, in whatever pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "../../daemon/http/body.h"
#include "../../daemon/http/field.h"
#include "../../daemon/http/head.h"
#include "../../daemon/http/parse.h"
#include "../../daemon/http/syntax.h"
#include "../../daemon/util.h"
#include "http_cases.h"

typedef int (*parse_fn)(const char *, size_t, struct http_scan *, const struct http_limits *,
			struct http_field *, struct http_head *);

static const struct http_limits limits = {HTTP_CASES_HEAD_MAX, HTTP_CASES_FIELDS_MAX};
static struct http_field fields[HTTP_CASES_FIELDS_MAX];
static bool provoked[_HTTP_ERROR_MAX];

static const char *outcome(int r)
{
	if (r == 0)
		return "more";
	return r > 0 ? "ok" : http_error_str[-r];
}

static struct http_head parsed(parse_fn parse, const char *text)
{
	struct http_head head;
	struct http_scan scanned = {0};
	int r = parse(text, strlen(text), &scanned, &limits, fields, &head);

	if (r != (int)strlen(text))
		fail_msg("%s: %d %s", text, r, outcome(r));
	return head;
}

static void assert_slice(const char *buf, struct http_slice s, const char *expected)
{
	if (s.len != strlen(expected) || memcmp(buf + s.at, expected, s.len) != 0)
		fail_msg("'%.*s' is not '%s'", (int)s.len, buf + s.at, expected);
}

/* ---- the table ---- */

static void check_whole(parse_fn parse, const struct http_case *c)
{
	struct http_head head;
	struct http_scan scanned = {0};
	int r = parse(c->raw, c->len, &scanned, &limits, fields, &head);

	if (strcmp(outcome(r), c->error ? c->error : "ok") != 0)
		fail_msg("%s: %s, not %s", c->name, outcome(r), c->error ? c->error : "ok");
	if (r > 0)
		assert_int_equal(r, c->len);
	if (r < 0)
		provoked[-r] = true;
}

/* How many bytes of the case it takes to see what is wrong with it: all of them, where nothing is.
 */
static size_t bytes_to_see(parse_fn parse, const struct http_case *c)
{
	size_t low = 0, high = c->len; /* `low` bytes do not do, `high` bytes do */

	while (c->error && high - low > 1) {
		size_t middle = (low + high) / 2;
		struct http_scan scanned = {0};
		struct http_head head;

		if (parse(c->raw, middle, &scanned, &limits, fields, &head) == 0)
			low = middle;
		else
			high = middle;
	}
	return high;
}

/* In pieces of `step` bytes: "more" until the piece that shows it, and then what the whole gets. */
static void check_pieces(parse_fn parse, const struct http_case *c, size_t step, size_t needed)
{
	struct http_scan scanned = {0};
	struct http_head head;
	size_t len = 0;
	int r;

	for (;;) {
		r = parse(c->raw, len, &scanned, &limits, fields, &head);
		assert_true(scanned.at <= len);
		if (r != 0 || len == c->len)
			break;
		len = MIN(len + step, c->len);
	}
	if (strcmp(outcome(r), c->error ? c->error : "ok") != 0 ||
	    len != MIN((needed + step - 1) / step * step, c->len))
		fail_msg("%s by %zu: %s after %zu bytes, not %s after %zu", c->name, step,
			 outcome(r), len, c->error ? c->error : "ok", needed);
}

/* Each prefix on its own: never another answer than the whole's. */
static void check_prefixes(parse_fn parse, const struct http_case *c)
{
	struct http_head head;
	struct http_scan scanned;
	int r;

	for (size_t len = 0; len < c->len; len += 1 + len / 256) {
		scanned = (struct http_scan){0};
		r = parse(c->raw, len, &scanned, &limits, fields, &head);
		if (r != 0 && (!c->error || strcmp(outcome(r), c->error) != 0))
			fail_msg("%s: %s after %zu bytes", c->name, outcome(r), len);
	}
}

static void check_table(parse_fn parse, const struct http_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t needed = bytes_to_see(parse, &cases[i]);

		check_whole(parse, &cases[i]);
		for (size_t step = 1; step <= 17; step++)
			check_pieces(parse, &cases[i], step, needed);
		check_prefixes(parse, &cases[i]);
	}
}

static void requests_of_the_table(void **state _unused_)
{
	check_table(http_request_parse, http_request_cases, ARRAY_SIZE(http_request_cases));
}

static void responses_of_the_table(void **state _unused_)
{
	check_table(http_response_parse, http_response_cases, ARRAY_SIZE(http_response_cases));
}

static void the_table_provokes_every_error(void **state _unused_)
{
	for (int i = HTTP_OK + 1; i < HTTP_BAD_CHUNK_SIZE; i++)
		if (!provoked[i])
			fail_msg("no case provokes %s", http_error_str[i]);
}

/* Two pieces, cut everywhere, with a body behind: the cut does not show in what was parsed. */
static void a_cut_does_not_show(void **state _unused_)
{
	static const char text[] = "\r\n\r\nPOST http://h:1/p?q HTTP/1.1\r\nHost: x\r\nA:\t1 \r\n"
				   "Connection: close, upgrade, A\r\nUpgrade: b\r\n"
				   "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n123GET";
	struct http_field once_fields[HTTP_CASES_FIELDS_MAX];
	struct http_head once, twice;
	const int head_len = (int)strlen(text) - 6;
	struct http_scan scanned = {0};

	memset(&once, 0, sizeof(once));
	assert_int_equal(
	    http_request_parse(text, strlen(text), &scanned, &limits, once_fields, &once),
	    head_len);
	for (size_t cut = 0; cut < (size_t)head_len; cut++) {
		scanned = (struct http_scan){0};
		memset(fields, 0xee, sizeof(fields));
		memset(&twice, 0xee, sizeof(twice));
		assert_int_equal(http_request_parse(text, cut, &scanned, &limits, fields, &twice),
				 0);
		memset(fields, 0xee, sizeof(fields));
		memset(&twice, 0xee, sizeof(twice));
		assert_int_equal(
		    http_request_parse(text, strlen(text), &scanned, &limits, fields, &twice),
		    head_len);
		assert_int_equal(twice.n_fields, 6);
		for (int i = 0; i < 6; i++) {
			assert_memory_equal(&twice.fields[i].name, &once.fields[i].name,
					    2 * sizeof(struct http_slice));
			assert_int_equal(twice.fields[i].id, once.fields[i].id);
		}
		assert_memory_equal(&twice.method, &once.method, 3 * sizeof(struct http_slice));
		assert_memory_equal(&twice.host, &once.host, sizeof(struct http_slice));
		assert_int_equal(twice.content_length, 3);
		assert_true(twice.expect_continue && twice.upgrade && twice.connection_close &&
			    twice.connection_others && twice.has_host && !twice.keep_alive);
	}
}

/* The text ends where a page ends that must not be read. */
static void nothing_is_read_behind_the_end(void **state _unused_)
{
	long page = sysconf(_SC_PAGESIZE);
	size_t size = 16 * (size_t)page;
	struct http_scan scanned;
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *end = map + size - page;
	struct http_head head;

	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(mprotect(end, (size_t)page, PROT_NONE), 0);
	for (size_t i = 0; i < ARRAY_SIZE(http_request_cases); i++) {
		const struct http_case *c = &http_request_cases[i];

		for (size_t len = 0; len <= MIN(c->len, 300); len++) {
			memcpy(end - len, c->raw, len);
			scanned = (struct http_scan){0};
			(void)http_request_parse(end - len, len, &scanned, &limits, fields, &head);
			scanned = (struct http_scan){0};
			(void)http_response_parse(end - len, len, &scanned, &limits, fields, &head);
		}
	}
	assert_int_equal(munmap(map, size), 0);
}

/* ---- requests ---- */

static void origin_form(void **state _unused_)
{
	const char *t = "PATCH /a?b HTTP/1.1\r\nHost:  x.example:80 \r\nA: \r\nvia:b\r\n\r\n";
	struct http_head h = parsed(http_request_parse, t);

	assert_slice(t, h.method, "PATCH");
	assert_int_equal(h.method_id, METHOD_PATCH);
	assert_slice(t, h.target, "/a?b");
	assert_slice(t, h.path, "/a?b");
	assert_int_equal(h.form, TARGET_ORIGIN);
	assert_slice(t, h.host, "x.example:80");
	assert_int_equal(h.minor, 1);
	assert_true(h.has_host && h.keep_alive && !h.is_response && !h.path_absent);
	assert_false(h.has_length || h.chunked || h.connection_close || h.expect_continue ||
		     h.upgrade || h.connection_others);
	assert_int_equal(h.n_fields, 3);
	assert_ptr_equal(h.fields, fields);
	assert_slice(t, fields[0].name, "Host");
	assert_int_equal(fields[0].id, FIELD_HOST);
	assert_slice(t, fields[1].value, "");
	assert_int_equal(fields[1].id, FIELD_OTHER);
	assert_slice(t, fields[2].name, "via");
	assert_slice(t, fields[2].value, "b");
	assert_int_equal(fields[2].id, FIELD_VIA);
}

static void assert_absolute(const char *target, const char *host, const char *path, bool absent)
{
	struct http_head h;
	char t[256];

	(void)snprintf(t, sizeof(t), "GET %s HTTP/1.1\r\nHost: other\r\n\r\n", target);
	h = parsed(http_request_parse, t);
	assert_int_equal(h.form, TARGET_ABSOLUTE);
	assert_slice(t, h.host, host);
	assert_slice(t, h.path, path);
	assert_slice(t, h.target, target);
	assert_int_equal(h.path_absent, absent);
	assert_true(h.has_host);
}

static void absolute_form(void **state _unused_)
{
	assert_absolute("http://a/b?c", "a", "/b?c", false);
	assert_absolute("HTTPS://a:8443/", "a:8443", "/", false);
	assert_absolute("http://[::1]:80//b", "[::1]:80", "//b", false);
	assert_absolute("http://a", "a", "/", true);
	assert_absolute("https://a:1", "a:1", "/", true);
	assert_absolute("http://a?b/c", "a", "?b/c", true);
}

static void other_forms(void **state _unused_)
{
	const char *t = "CONNECT b:443 HTTP/1.1\r\nHost: c\r\n\r\n";
	struct http_head h = parsed(http_request_parse, t);

	assert_int_equal(h.form, TARGET_AUTHORITY);
	assert_slice(t, h.host, "b:443");
	assert_slice(t, h.path, "");

	t = "OPTIONS * HTTP/1.1\r\nHost: c\r\n\r\n";
	h = parsed(http_request_parse, t);
	assert_int_equal(h.form, TARGET_ASTERISK);
	assert_slice(t, h.path, "*");
	assert_slice(t, h.host, "c");

	h = parsed(http_request_parse, "GET / HTTP/1.0\r\n\r\n");
	assert_false(h.has_host);
	assert_int_equal(h.host.len, 0);

	t = "GET http://b:81/c HTTP/1.0\r\n\r\n";
	h = parsed(http_request_parse, t);
	assert_true(h.has_host);
	assert_slice(t, h.host, "b:81");
	t = "CONNECT b:443 HTTP/1.0\r\n\r\n";
	h = parsed(http_request_parse, t);
	assert_true(h.has_host);
	assert_slice(t, h.host, "b:443");
}

static void max_forwards(void **state _unused_)
{
	static const struct {
		const char *text;
		bool has;
		uint32_t number;
	} all[] = {
	    {"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", true, 0},
	    {"TRACE / HTTP/1.0\r\nMax-Forwards: 007\r\n\r\n", true, 7},
	    {"TRACE / HTTP/1.0\r\nMax-Forwards: 4294967295\r\n\r\n", true, UINT32_MAX},
	    {"TRACE / HTTP/1.0\r\nMax-Forwards: 4294967296\r\n\r\n", true, UINT32_MAX},
	    {"TRACE / HTTP/1.0\r\nMax-Forwards: 18446744073709551617\r\n\r\n", true, UINT32_MAX},
	    {"TRACE / HTTP/1.0\r\nMax_Forwards: 1\r\n\r\n", false, 0},
	    {"GET / HTTP/1.0\r\nMax-Forwards: 1\r\n\r\n", false, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct http_head h = parsed(http_request_parse, all[i].text);

		assert_int_equal(h.has_max_forwards, all[i].has);
		assert_int_equal(h.max_forwards, all[i].number);
	}
}

static void methods(void **state _unused_)
{
	static const struct {
		const char *name;
		enum http_method id;
	} all[] = {
	    {"GET", METHOD_GET},     {"HEAD", METHOD_HEAD},     {"POST", METHOD_POST},
	    {"PUT", METHOD_PUT},     {"DELETE", METHOD_DELETE}, {"OPTIONS", METHOD_OPTIONS},
	    {"TRACE", METHOD_TRACE}, {"PATCH", METHOD_PATCH},   {"GETS", METHOD_OTHER},
	    {"GE", METHOD_OTHER},    {"get", METHOD_OTHER},     {"PROPFIND", METHOD_OTHER},
	};
	char t[64];

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		(void)snprintf(t, sizeof(t), "%s / HTTP/1.1\r\nHost: a\r\n\r\n", all[i].name);
		assert_int_equal(parsed(http_request_parse, t).method_id, all[i].id);
	}
}

static void field_ids(void **state _unused_)
{
	static const struct {
		const char *name;
		enum http_field_id id;
	} all[] = {
	    {"Host", FIELD_HOST},
	    {"Content-Length", FIELD_CONTENT_LENGTH},
	    {"Transfer-Encoding", FIELD_TRANSFER_ENCODING},
	    {"Connection", FIELD_CONNECTION},
	    {"Keep-Alive", FIELD_KEEP_ALIVE},
	    {"Proxy-Connection", FIELD_PROXY_CONNECTION},
	    {"Proxy", FIELD_PROXY},
	    {"Upgrade", FIELD_UPGRADE},
	    {"TE", FIELD_TE},
	    {"Trailer", FIELD_TRAILER},
	    {"Expect", FIELD_EXPECT},
	    {"Max-Forwards", FIELD_MAX_FORWARDS},
	    {"X-Forwarded-For", FIELD_X_FORWARDED_FOR},
	    {"X-Forwarded-Proto", FIELD_X_FORWARDED_PROTO},
	    {"Forwarded", FIELD_FORWARDED},
	    {"Via", FIELD_VIA},
	    {"Date", FIELD_DATE},
	    {"traceparent", FIELD_TRACEPARENT},
	    {"tracestate", FIELD_TRACESTATE},
	    {"HTTP2-Settings", FIELD_HTTP2_SETTINGS},
	};
	struct http_field f;
	char line[64];

	assert_int_equal(ARRAY_SIZE(all), _FIELD_MAX - 1);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		size_t len = (size_t)snprintf(line, sizeof(line), "%s: x", all[i].name);

		assert_int_equal(http_field_parse(line, len, &f), 0);
		assert_int_equal(f.id, all[i].id);
		for (size_t j = 0; j < f.name.len; j++)
			line[j] = (char)(line[j] >= 'A' && line[j] <= 'Z'   ? line[j] | 0x20
					 : line[j] >= 'a' && line[j] <= 'z' ? line[j] & ~0x20
									    : line[j]);
		assert_int_equal(http_field_parse(line, len, &f), 0);
		assert_int_equal(f.id, all[i].id);
		/* One character that differs, anywhere. */
		for (size_t j = 0; j < f.name.len; j++) {
			char was = line[j];

			line[j] = '_';
			assert_int_equal(http_field_parse(line, len, &f), 0);
			assert_int_equal(f.id, FIELD_OTHER);
			assert_int_equal(f.alias, was == '-' ? all[i].id : FIELD_OTHER);
			assert_true(f.underscore);
			line[j] = was;
		}
	}
}

/* What a CGI program cannot tell from a known name is no such field, but known for that. */
static void other_spellings(void **state _unused_)
{
	static const struct {
		const char *name;
		enum http_field_id alias;
		bool underscore;
	} all[] = {
	    {"X_Forwarded_For", FIELD_X_FORWARDED_FOR, true},
	    {"x-forwarded_for", FIELD_X_FORWARDED_FOR, true},
	    {"X.FORWARDED-FOR", FIELD_X_FORWARDED_FOR, false},
	    {"x~forwarded!proto", FIELD_X_FORWARDED_PROTO, false},
	    {"Content_Length", FIELD_CONTENT_LENGTH, true},
	    {"TRANSFER_ENCODING", FIELD_TRANSFER_ENCODING, true},
	    {"keep+alive", FIELD_KEEP_ALIVE, false},
	    {"http2_settings", FIELD_HTTP2_SETTINGS, true},
	    {"http2_setting_", FIELD_OTHER, true},
	    {"XForwardedFor", FIELD_OTHER, false},
	    {"X__Forwarded_For", FIELD_OTHER, true},
	    {"_", FIELD_OTHER, true},
	};
	struct http_field f;
	char line[64];

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		size_t len = (size_t)snprintf(line, sizeof(line), "%s: x_y", all[i].name);

		assert_int_equal(http_field_parse(line, len, &f), 0);
		if (f.id != FIELD_OTHER || f.alias != all[i].alias ||
		    f.underscore != all[i].underscore)
			fail_msg("%s: %d, %d, %d", all[i].name, f.id, f.alias, f.underscore);
	}
	assert_int_equal(http_field_parse("a: _", 4, &f), 0);
	assert_false(f.underscore);
}

static void field_lines(void **state _unused_)
{
	struct http_field f;

	assert_int_equal(http_field_parse("", 0, &f), -HTTP_BAD_NAME);
	assert_int_equal(http_field_parse("a", 1, &f), -HTTP_BAD_NAME);
	assert_int_equal(http_field_parse("a ", 2, &f), -HTTP_BAD_NAME);
	assert_int_equal(http_field_parse(" ", 1, &f), -HTTP_OBS_FOLD);
	assert_int_equal(http_field_parse("a  :", 4, &f), -HTTP_SPACE_BEFORE_COLON);
	assert_int_equal(http_field_parse("a:  \t ", 6, &f), 0);
	assert_int_equal(f.value.len, 0);
	assert_int_equal(f.value.at, 6);
}

/* ---- connections ---- */

#define REQUEST(minor, more) "GET / HTTP/1." #minor "\r\nHost: a\r\n" more "\r\n"

static void persistence(void **state _unused_)
{
	static const struct {
		const char *text;
		bool keep_alive, close;
	} all[] = {
	    {REQUEST(1, ""), true, false},
	    {REQUEST(0, ""), false, false},
	    {REQUEST(1, "Connection: close\r\n"), false, true},
	    {REQUEST(1, "Connection: a, CLOSE ,b\r\n"), false, true},
	    {REQUEST(1, "Connection: a\r\nConnection: close\r\n"), false, true},
	    {REQUEST(1, "Connection: closed\r\n"), true, false},
	    {REQUEST(1, "Connection: keep-alive\r\n"), true, false},
	    {REQUEST(0, "Connection: Keep-Alive\r\n"), true, false},
	    {REQUEST(0, "Connection: keep-alive, close\r\n"), false, true},
	    {REQUEST(1, "Proxy-Connection: close\r\n"), true, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct http_head h = parsed(http_request_parse, all[i].text);

		assert_int_equal(h.keep_alive, all[i].keep_alive);
		assert_int_equal(h.connection_close, all[i].close);
	}
}

static void upgrades_and_expectations(void **state _unused_)
{
#define UPGRADE "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
	assert_true(parsed(http_request_parse, REQUEST(1, UPGRADE)).upgrade);
	assert_false(parsed(http_request_parse, REQUEST(0, UPGRADE)).upgrade);
	assert_false(parsed(http_request_parse, REQUEST(1, "Upgrade: b\r\n")).upgrade);
	assert_false(parsed(http_request_parse, REQUEST(1, "Connection: upgrade\r\n")).upgrade);
	assert_true(parsed(http_response_parse, "HTTP/1.1 101 x\r\n" UPGRADE "\r\n").upgrade);
#define EXPECT "Expect: 100-Continue\r\n"
	assert_true(parsed(http_request_parse, REQUEST(1, EXPECT)).expect_continue);
	assert_false(parsed(http_request_parse, REQUEST(0, EXPECT)).expect_continue);
	assert_false(parsed(http_request_parse, REQUEST(1, "Expect: x\r\n")).expect_continue);
	assert_true(
	    parsed(http_request_parse, REQUEST(1, "Expect: x, 100-continue\r\n")).expect_continue);
}

static void hop_by_hop(void **state _unused_)
{
	static const char t[] = "GET / HTTP/1.1\r\n"
				"Host: a\r\n"
				"Connection: close, x-one , Host,,content-length\r\n"
				"Connection: \tX-TWO,X-Forwarded-For, transfer-encoding\r\n"
				"X-One: 1\r\n"
				"X-Two: 2\r\n"
				"X-On: 3\r\n"
				"X-One1: 3\r\n"
				"Content-Length: 5\r\n"
				"X-Forwarded-For: 1.2.3.4\r\n"
				"Keep-Alive: x\r\n"
				"Proxy-Connection: x\r\n"
				"TE: trailers\r\n"
				"Trailer: x\r\n"
				"Upgrade: x\r\n"
				"HTTP2-Settings: x\r\n"
				"\r\n";
	static const struct {
		bool named, hop;
	} expected[] = {
	    {true, false},  {false, true},  {false, true},  {true, true},   {true, true},
	    {false, false}, {false, false}, {true, false},  {false, false}, {false, true},
	    {false, true},  {false, true},  {false, false}, {false, true},  {false, true},
	};
	struct http_head h = parsed(http_request_parse, t);

	assert_int_equal(h.n_fields, ARRAY_SIZE(expected));
	assert_true(h.connection_others);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		if (fields[i].named != expected[i].named ||
		    http_is_hop_by_hop(&fields[i]) != expected[i].hop)
			fail_msg("%.*s", (int)fields[i].name.len, t + fields[i].name.at);
	}

	h = parsed(http_request_parse, REQUEST(1, "Connection: upgrade, close, keep-alive\r\n"));
	assert_false(h.connection_others);
}

static void hops_in_other_spellings(void **state _unused_)
{
	static const char t[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: x_one, X-Two\r\n"
				"X-One: 1\r\nX_Two: 2\r\nX.TWO: 3\r\nKeep_Alive: 4\r\n"
				"http2_settings: 5\r\nX-Three: 6\r\nContent_Length: 7\r\n\r\n";
	static const bool hop[] = {false, true, true, true, true, true, true, false, false};
	struct http_head h = parsed(http_request_parse, t);

	assert_int_equal(h.n_fields, ARRAY_SIZE(hop));
	for (size_t i = 0; i < ARRAY_SIZE(hop); i++)
		if (http_is_hop_by_hop(&fields[i]) != hop[i])
			fail_msg("%.*s", (int)fields[i].name.len, t + fields[i].name.at);
}

static void protocols_to_upgrade_to(void **state _unused_)
{
	static const char *const h2[] = {"h2c",   "H2C",      "h2",     "h2c-14",
					 "h2c/1", "HTTP/2.0", "http/2", "HTTP/3.0"};
	static const char *const others[] = {"websocket", "h",       "h3c",  "HTTP",     "HTTP/",
					     "HTTP/1.1",  "TLS/1.0", "xh2c", "HTTPS/2.0"};

	for (size_t i = 0; i < ARRAY_SIZE(h2); i++)
		assert_true(http_upgrade_is_h2(h2[i], strlen(h2[i])));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(http_upgrade_is_h2(others[i], strlen(others[i])));
}

static void what_te_offers(void **state _unused_)
{
	assert_true(parsed(http_request_parse, REQUEST(1, "TE: trailers\r\n")).te_trailers);
	assert_true(
	    parsed(http_request_parse, REQUEST(1, "TE: gzip;q=1, Trailers\r\n")).te_trailers);
	assert_false(parsed(http_request_parse, REQUEST(1, "TE: trailer\r\n")).te_trailers);
	assert_false(parsed(http_request_parse, REQUEST(1, "TE:\r\n")).te_trailers);
	assert_false(parsed(http_request_parse, REQUEST(0, "TE: trailers\r\n")).te_trailers);
}

/* Names that differ in their last character only, in any order and spelling. */
static void many_names(void **state _unused_)
{
	static char text[HTTP_CASES_HEAD_MAX];
	char *at = text + sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close");
	struct http_head h;

	for (int i = 0; i < HTTP_CONNECTION_OPTIONS - 1; i++)
		at += sprintf(at, ", %s-%d", i % 3 ? "x-NAME" : "X_name", i * 37 % 63 * 2);
	at += sprintf(at, "\r\n");
	for (int i = 0; i < 126; i++)
		at += sprintf(at, "X-%s-%d: %d\r\n", i % 2 ? "Name" : "namE", i, i);
	(void)sprintf(at, "\r\n");
	h = parsed(http_request_parse, text);
	assert_int_equal(h.n_fields, 128);
	assert_false(fields[0].named || fields[1].named);
	for (int i = 0; i < 126; i++)
		assert_int_equal(fields[i + 2].named, i % 2 == 0);
}

/* ---- responses ---- */

static void status_lines(void **state _unused_)
{
	const char *t = "HTTP/1.0 404 Not  Found \r\nContent-Length: 9223372036854775807\r\n\r\n";
	struct http_head h = parsed(http_response_parse, t);

	assert_true(h.is_response && h.has_length && !h.keep_alive);
	assert_int_equal(h.minor, 0);
	assert_int_equal(h.status, 404);
	assert_slice(t, h.reason, "Not  Found ");
	assert_true(h.content_length == INT64_MAX);

	t = "HTTP/1.1 200\r\n\r\n";
	h = parsed(http_response_parse, t);
	assert_int_equal(h.status, 200);
	assert_slice(t, h.reason, "");
	assert_true(h.keep_alive);
}

static void bodies_of_responses(void **state _unused_)
{
	static const struct {
		uint16_t status;
		enum http_method method;
		bool body;
	} all[] = {
	    {200, METHOD_GET, true},      {200, METHOD_HEAD, false},    {404, METHOD_HEAD, false},
	    {100, METHOD_POST, false},    {101, METHOD_GET, false},     {199, METHOD_GET, false},
	    {204, METHOD_GET, false},     {304, METHOD_GET, false},     {205, METHOD_GET, true},
	    {200, METHOD_CONNECT, false}, {299, METHOD_CONNECT, false}, {407, METHOD_CONNECT, true},
	    {500, METHOD_OTHER, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct http_head h = {.is_response = true, .status = all[i].status};

		assert_int_equal(http_response_has_body(&h, all[i].method), all[i].body);
	}
}

/* ---- the rest ---- */

static void hosts_are_split(void **state _unused_)
{
	static const struct {
		const char *host;
		size_t name_len;
		uint16_t port;
	} all[] = {
	    {"a", 1, 0},
	    {"a:80", 1, 80},
	    {"a:", 1, 0},
	    {"1.2.3.4", 7, 0},
	    {"1.2.3.4:65535", 7, 65535},
	    {"[::1]", 5, 0},
	    {"[::1]:443", 5, 443},
	    {"a:00001", 1, 1},
	    {"", 0, 0},
	};
	size_t name_len;
	uint16_t port;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		http_host_split(all[i].host, strlen(all[i].host), &name_len, &port);
		assert_int_equal(name_len, all[i].name_len);
		assert_int_equal(port, all[i].port);
	}
}

static void hosts_have_one_name(void **state _unused_)
{
	static const struct {
		const char *authority, *name;
	} all[] = {
	    {"WWW.Example.:8080", "www.example"},
	    {"a", "a"},
	    {"10.0.0.1:80", "10.0.0.1"},
	    {"[2001:DB8::1]", "[2001:db8::1]"},
	    {"[2001:0db8:0:0:0:0:0:1]:80", "[2001:db8::1]"},
	    {"[2001:db8:0:0::1]:", "[2001:db8::1]"},
	    {"[0000:0000:0000:0000:0000:FFFF:255.255.255.255]:65535", "[::ffff:255.255.255.255]"},
	    {"[::FFFF:c000:201]", "[::ffff:192.0.2.1]"},
	};
	char name[256], small[5];

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		http_host_name(all[i].authority, strlen(all[i].authority), name, sizeof(name));
		assert_string_equal(name, all[i].name);
	}
	http_host_name("[2001:DB8:0::1]:80", 18, small, sizeof(small));
	assert_string_equal(small, "[200");
	http_host_name("WWW.Example", 11, small, sizeof(small));
	assert_string_equal(small, "www.");
}

/* The limit counts every byte of the head, an empty line before it included. */
static void limits_are_exact(void **state _unused_)
{
	static const char text[] = "\r\nGET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n";
	const uint32_t len = sizeof(text) - 1;
	struct http_head head;
	struct http_scan scanned = {0};

	assert_int_equal(
	    http_request_parse(text, len, &scanned, &(struct http_limits){len, 2}, fields, &head),
	    len);
	scanned = (struct http_scan){0};
	assert_int_equal(http_request_parse(text, len, &scanned, &(struct http_limits){len - 1, 2},
					    fields, &head),
			 -HTTP_HEAD_TOO_LARGE);
	scanned = (struct http_scan){0};
	assert_int_equal(
	    http_request_parse(text, len, &scanned, &(struct http_limits){len, 1}, fields, &head),
	    -HTTP_TOO_MANY_FIELDS);
	scanned = (struct http_scan){0};
	assert_int_equal(
	    http_request_parse(text, len, &scanned, &(struct http_limits){17, 1}, fields, &head),
	    -HTTP_URI_TOO_LONG);
	for (uint32_t max = 0; max < len; max++) {
		scanned = (struct http_scan){0};
		for (size_t n = 0; n <= max; n++) {
			int r = http_request_parse(text, n, &scanned, &(struct http_limits){max, 2},
						   fields, &head);

			assert_true(n < max ? r == 0 : r < 0);
		}
	}
}

static void errors_have_names_and_statuses(void **state _unused_)
{
	for (int i = 0; i < _HTTP_ERROR_MAX; i++) {
		int status = http_error_status((enum http_error)i);

		assert_non_null(http_error_str[i]);
		assert_true(status >= 400 && status < 600);
	}
	assert_int_equal(http_error_status(HTTP_TWO_LENGTHS), 400);
	assert_int_equal(http_error_status(HTTP_URI_TOO_LONG), 414);
	assert_int_equal(http_error_status(HTTP_HEAD_TOO_LARGE), 431);
	assert_int_equal(http_error_status(HTTP_TOO_MANY_FIELDS), 431);
	assert_int_equal(http_error_status(HTTP_BAD_TRANSFER_ENCODING), 400);
	assert_int_equal(http_error_status(HTTP_UNKNOWN_TRANSFER_ENCODING), 501);
	assert_int_equal(http_error_status(HTTP_UNSUPPORTED_VERSION), 505);
}

/* A head that comes byte by byte is looked at about once: 32K of one value take no time. */
static void trickling_is_linear(void **state _unused_)
{
	static char text[HTTP_CASES_HEAD_MAX] = "GET / HTTP/1.1\r\nHost: a\r\nA: ";
	uint64_t start = now_ns();
	struct http_head head;
	struct http_scan scanned = {0};

	memset(text + strlen(text), 'x', sizeof(text) - strlen(text));
	for (size_t len = 0; len < sizeof(text); len++)
		assert_int_equal(http_request_parse(text, len, &scanned, &limits, fields, &head),
				 0);
	/* Some milliseconds; were each call to start over, some hundreds and more. */
	if (now_ns() - start > 100 * NSEC_PER_MSEC)
		print_message("32K in single bytes took %llu us\n",
			      (unsigned long long)((now_ns() - start) / NSEC_PER_USEC));
	assert_int_equal(scanned.at, sizeof(text) - 1);
}

/* ---- the table for others ---- */

/* kind TAB name TAB hexadecimal bytes TAB error, or "ok" */
static void print_cases(const char *kind, const struct http_case *cases, size_t n)
{
	for (const struct http_case *c = cases; c < cases + n; c++) {
		(void)printf("%s\t%s\t", kind, c->name);
		for (size_t i = 0; i < c->len; i++)
			(void)printf("%02x", (unsigned char)c->raw[i]);
		(void)printf("\t%s\n", c->error ? c->error : "ok");
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests_of_the_table),
	    cmocka_unit_test(responses_of_the_table),
	    cmocka_unit_test(the_table_provokes_every_error),
	    cmocka_unit_test(a_cut_does_not_show),
	    cmocka_unit_test(nothing_is_read_behind_the_end),
	    cmocka_unit_test(origin_form),
	    cmocka_unit_test(absolute_form),
	    cmocka_unit_test(other_forms),
	    cmocka_unit_test(max_forwards),
	    cmocka_unit_test(methods),
	    cmocka_unit_test(field_ids),
	    cmocka_unit_test(other_spellings),
	    cmocka_unit_test(field_lines),
	    cmocka_unit_test(persistence),
	    cmocka_unit_test(upgrades_and_expectations),
	    cmocka_unit_test(hop_by_hop),
	    cmocka_unit_test(hops_in_other_spellings),
	    cmocka_unit_test(protocols_to_upgrade_to),
	    cmocka_unit_test(what_te_offers),
	    cmocka_unit_test(many_names),
	    cmocka_unit_test(status_lines),
	    cmocka_unit_test(bodies_of_responses),
	    cmocka_unit_test(hosts_are_split),
	    cmocka_unit_test(hosts_have_one_name),
	    cmocka_unit_test(limits_are_exact),
	    cmocka_unit_test(errors_have_names_and_statuses),
	    cmocka_unit_test(trickling_is_linear),
	};

	if (argc == 2 && strcmp(argv[1], "--cases") == 0) {
		print_cases("request", http_request_cases, ARRAY_SIZE(http_request_cases));
		print_cases("response", http_response_cases, ARRAY_SIZE(http_response_cases));
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}

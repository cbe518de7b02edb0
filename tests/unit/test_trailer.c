/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which trailer fields go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "../../daemon/http/parse.h"
#include "../../daemon/http/trailer.h"
#include "../../daemon/util.h"

static struct http_field fields[16];

static bool passes(const struct trailer_rules *t, const char *name)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "%s: x", name);

	return trailer_may_pass(t, line, (size_t)n);
}

/* In each spelling that a program may take for the name. */
static void assert_dropped(const struct trailer_rules *t, const char *name)
{
	char other[64];

	for (const char *spelling = "-_.~"; *spelling; spelling++) {
		size_t n = strlen(name);

		for (size_t i = 0; i <= n; i++)
			other[i] = (char)(name[i] == '-'                              ? *spelling
					  : i % 2 && name[i] >= 'a' && name[i] <= 'z' ? name[i] - 32
										      : name[i]);
		if (passes(t, name) || passes(t, other))
			fail_msg("%s or %s passes", name, other);
	}
}

static void names_of_heads(void **state _unused_)
{
	static const char *const names[] = {
	    "x-forwarded-for",
	    "x-forwarded-proto",
	    "x-forwarded-host",
	    "x-forwarded-port",
	    "x-forwarded-anything",
	    "forwarded",
	    "via",
	    "x-request-id",
	    "x-real-ip",
	    "cookie",
	    "set-cookie",
	    "authorization",
	    "proxy-authorization",
	    "www-authenticate",
	    "proxy-authenticate",
	    "connection",
	    "keep-alive",
	    "proxy-connection",
	    "te",
	    "trailer",
	    "upgrade",
	    "http2-settings",
	    "proxy",
	    "host",
	    "content-length",
	    "transfer-encoding",
	    "expect",
	    "max-forwards",
	    "cache-control",
	    "range",
	    "if-none-match",
	    "content-type",
	    "content-encoding",
	    "content-range",
	    "date",
	    "location",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_dropped(NULL, names[i]);
}

static void others_pass(void **state _unused_)
{
	static const char *const names[] = {
	    "grpc-status", "Server-Timing",  "ETag",    "Digest",       "X-Checksum", "X_Checksum",
	    "X-Forwarded", "XForwarded-For", "Cookies", "Proxy-Status", "A",
	};
	struct trailer_rules t = {.request_id = ""};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!passes(NULL, names[i]) || !passes(&t, names[i]))
			fail_msg("%s does not pass", names[i]);
}

static void what_the_listener_says(void **state _unused_)
{
	struct trailer_rules t = {.request_id = "x-my-id"};

	assert_dropped(&t, "x-my-id");
	assert_true(passes(&t, "X_Other"));
	t.no_underscores = true;
	assert_false(passes(&t, "X_Other"));
	assert_true(passes(&t, "X-Other"));
}

/* The names may come in several fields; they are forgotten with the next head. */
static void what_connection_names(void **state _unused_)
{
	static const char text[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
				   "Connection: close, x-one\r\nConnection: ,X_Two,,x-th\r\n\r\n";
	static const char next[] =
	    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
	const struct http_limits limits = {4096, ARRAY_SIZE(fields)};
	struct trailer_rules t = {0};
	struct http_head head;
	struct http_scan scanned = {0};

	assert_true(http_request_parse(text, strlen(text), &scanned, &limits, fields, &head) > 0);
	assert_int_equal(trailer_rules_set(&t, &head, text), 0);
	assert_dropped(&t, "x-one");
	assert_dropped(&t, "x-two");
	assert_dropped(&t, "x-th");
	assert_dropped(&t, "close");
	assert_true(passes(&t, "X-Three") && passes(&t, "X-T") && passes(&t, "X"));
	scanned = (struct http_scan){0};
	assert_true(http_request_parse(next, strlen(next), &scanned, &limits, fields, &head) > 0);
	assert_int_equal(trailer_rules_set(&t, &head, next), 0);
	assert_true(passes(&t, "X-One"));
	trailer_rules_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_of_heads),
	    cmocka_unit_test(others_pass),
	    cmocka_unit_test(what_the_listener_says),
	    cmocka_unit_test(what_connection_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

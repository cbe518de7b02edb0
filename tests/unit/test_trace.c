// SPDX-License-Identifier: GPL-2.0-or-later
/* W3C Trace Context: which values are valid, and what is made of a request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "http/parse.h"
#include "http/trace.h"
#include "util.h"

#define ID    "0af7651916cd43dd8448eb211c80319c"
#define SPAN  "b7ad6b7169203331"
#define VALID "00-" ID "-" SPAN "-01"

static void valid_values(void **state _unused_)
{
	static const struct {
		const char *value;
		bool valid;
	} all[] = {
	    {VALID, true},
	    {"00-" ID "-" SPAN "-00", true},
	    {"00-" ID "-" SPAN "-ff", true},
	    {"01-" ID "-" SPAN "-01", true},
	    {"fe-" ID "-" SPAN "-01-more", true},
	    {"fe-" ID "-" SPAN "-01-", true},
	    {"", false},
	    {"00", false},
	    {VALID "-", false},
	    {VALID "-00", false},
	    {"01-" ID "-" SPAN "-01x", false},
	    {"ff-" ID "-" SPAN "-01", false},
	    {"0F-" ID "-" SPAN "-01", false},
	    {"00-" ID "-" SPAN "-0", false},
	    {"00-" ID "-" SPAN "-0x", false},
	    {"00-0AF7651916cd43dd8448eb211c80319c-" SPAN "-01", false},
	    {"00-0af7651916cd43dd8448eb211c80319g-" SPAN "-01", false},
	    {"00-" ID "-B7ad6b7169203331-01", false},
	    {"00-00000000000000000000000000000000-" SPAN "-01", false},
	    {"00-" ID "-0000000000000000-01", false},
	    {"00_" ID "-" SPAN "-01", false},
	    {"00-" ID "_" SPAN "-01", false},
	    {"00-" ID "-" SPAN "_01", false},
	    {"00-" ID SPAN "-0001", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const char *id = trace_parse(all[i].value, strlen(all[i].value));

		if ((id != NULL) != all[i].valid)
			fail_msg("%s", all[i].value);
		if (id)
			assert_memory_equal(id, ID, TRACE_ID_LEN);
	}
	/* Not a byte behind the end is looked at. */
	for (size_t len = 0; len < sizeof(VALID) - 1; len++)
		assert_null(trace_parse(VALID, len));
}

/* Of a request with these fields. */
static struct trace trace_with(enum traceparent_mode mode, unsigned int sample, const char *fields)
{
	static const struct http_limits limits = {.head_max = 4096, .fields_max = 16};
	const struct listener_config c = {.traceparent = mode, .traceparent_sample = sample};
	struct http_field parsed[16];
	struct http_scan scan = {0};
	struct http_head head;
	struct trace t;
	char text[1024];
	int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);

	assert_int_equal(http_request_parse(text, (size_t)n, &scan, &limits, parsed, &head), n);
	trace_of(&c, &head, text, &t);
	return t;
}

static void begins(const struct trace *t, const char *flags)
{
	assert_ptr_equal(trace_parse(t->parent, strlen(t->parent)), t->parent + 3);
	assert_int_equal(strlen(t->parent), TRACE_PARENT_LEN);
	assert_memory_equal(t->parent + 3, t->id, TRACE_ID_LEN);
	assert_memory_equal(t->parent, "00-", 3);
	assert_string_equal(t->parent + TRACE_PARENT_LEN - 2, flags);
	assert_string_not_equal(t->id, ID);
}

static void what_a_listener_makes_of_it(void **state _unused_)
{
	static const char *const none[] = {
	    "",
	    "Traceparent: nonsense\r\n",
	    "traceparent: " VALID "\r\ntraceparent: " VALID "\r\n",
	    "traceparent: x\r\ntraceparent: " VALID "\r\n",
	    "traceparent: " VALID "\r\nConnection: traceparent\r\n",
	    "trace_parent: " VALID "\r\n",
	    "tracestate: a=b\r\n",
	};
	struct trace t;

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		t = trace_with(TRACEPARENT_PASS, 100, none[i]);
		assert_string_equal(t.id, "");
		assert_string_equal(t.parent, "");
		t = trace_with(TRACEPARENT_BEGIN, 100, none[i]);
		begins(&t, "01");
		t = trace_with(TRACEPARENT_REPLACE, 0, none[i]);
		begins(&t, "00");
	}
	for (enum traceparent_mode mode = TRACEPARENT_PASS; mode <= TRACEPARENT_BEGIN; mode++) {
		t = trace_with(mode, 100, "TraceParent: \t" VALID " \r\n");
		assert_string_equal(t.id, ID);
		assert_string_equal(t.parent, "");
	}
	t = trace_with(TRACEPARENT_REPLACE, 100, "traceparent: " VALID "\r\n");
	begins(&t, "01");
}

static void some_are_sampled(void **state _unused_)
{
	unsigned int sampled = 0;

	for (int i = 0; i < 2000; i++) {
		struct trace t = trace_with(TRACEPARENT_BEGIN, 30, "");

		sampled += t.parent[TRACE_PARENT_LEN - 1] == '1';
	}
	/* 600, and some eight times what it varies by. */
	assert_in_range(sampled, 436, 764);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(valid_values),
	    cmocka_unit_test(what_a_listener_makes_of_it),
	    cmocka_unit_test(some_are_sampled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

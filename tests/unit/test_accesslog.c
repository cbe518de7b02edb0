/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The access log's lines: as text, which is also what scripts split, and as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "../../daemon/accesslog.h"
#include "../../daemon/log.h"

static void assert_line(const struct access_entry *e, enum log_format format, const char *want)
{
	char buf[LOG_TEXT_MAX];

	assert_int_equal(access_format(e, format, buf, sizeof(buf)), strlen(want));
	assert_string_equal(buf, want);
}

static void test_order(void **state _unused_)
{
	struct access_entry e;

	access_begin(&e, "thing");
	assert_line(&e, LOG_FORMAT_TEXT, "thing");
	assert_line(&e, LOG_FORMAT_JSON, "{\"kind\":\"thing\"}");
	access_number(&e, "zero", 0);
	access_text(&e, "b", "one");
	access_text(&e, "a", NULL);
	access_text(&e, "c", "");
	access_number(&e, "ten", 10);
	assert_line(&e, LOG_FORMAT_TEXT, "thing zero=0 b=one a=- c= ten=10");
	assert_line(
	    &e, LOG_FORMAT_JSON,
	    "{\"kind\":\"thing\",\"zero\":0,\"b\":\"one\",\"a\":null,\"c\":\"\",\"ten\":10}");
	access_begin(&e, "other");
	access_text(&e, "ten", "x");
	assert_line(&e, LOG_FORMAT_TEXT, "other ten=x");
}

static void test_numbers(void **state _unused_)
{
	struct access_entry e;

	access_begin(&e, "n");
	access_number(&e, "a", INT64_MAX);
	assert_line(&e, LOG_FORMAT_TEXT, "n a=9223372036854775807");
	assert_line(&e, LOG_FORMAT_JSON, "{\"kind\":\"n\",\"a\":9223372036854775807}");
	access_begin(&e, "n");
	access_number(&e, "a", UINT64_MAX);
	assert_line(&e, LOG_FORMAT_TEXT, "n a=18446744073709551615");
	assert_line(&e, LOG_FORMAT_JSON, "{\"kind\":\"n\",\"a\":9223372036854775807}");
}

static void test_encoding(void **state _unused_)
{
	struct access_entry e;

	access_begin(&e, "e");
	access_text(&e, "a", "/x%20y?q=\"a b\"\\'\n\x01\xc3\xa9");
	assert_line(&e, LOG_FORMAT_TEXT, "e a=/x%20y?q=%22a%20b%22%5C%27%0A%01%C3%A9");
	assert_line(&e, LOG_FORMAT_JSON,
		    "{\"kind\":\"e\",\"a\":\"/x%20y?q=\\\"a b\\\"\\\\'\\n\\u0001\\u00E9\"}");
	access_begin(&e, "e");
	access_text(&e, "a", "b \x7f");
	assert_line(&e, LOG_FORMAT_JSON, "{\"kind\":\"e\",\"a\":\"b%20%7F\"}");
	access_begin(&e, "e");
	access_text(&e, "a", "b \xff\x7f");
	assert_line(&e, LOG_FORMAT_TEXT, "e a=b%20%FF%7F");
	assert_line(&e, LOG_FORMAT_JSON, "{\"kind\":\"e\",\"a\":\"b%20%FF%7F\"}");
}

/* However long texts are, every field is there, and JSON is JSON. */
static void test_long(void **state _unused_)
{
	static const char *const fills[] = {"a", " ", "\xc3\xa9", "\xff", "\x01"};
	static char text[3 * LOG_TEXT_MAX + 1];
	char buf[LOG_TEXT_MAX];
	struct access_entry e;
	json_t *json;
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(fills); i++) {
		size_t width = strlen(fills[i]);

		for (n = 0; n + width < sizeof(text); n += width)
			memcpy(text + n, fills[i], width);
		text[n] = '\0';
		access_begin(&e, "e");
		access_text(&e, "path", text);
		access_number(&e, "status", 200);
		access_text(&e, "agent", text + LOG_TEXT_MAX / 2 / width * width);
		access_text(&e, "end", "done");

		n = access_format(&e, LOG_FORMAT_TEXT, buf, sizeof(buf));
		assert_in_range(n, LOG_TEXT_MAX / 4, sizeof(buf) - 1);
		assert_int_equal(strlen(buf), n);
		assert_non_null(strstr(buf, "... status=200 agent="));
		assert_non_null(strstr(buf, "... end=done"));

		n = access_format(&e, LOG_FORMAT_JSON, buf, sizeof(buf));
		assert_in_range(n, LOG_TEXT_MAX / 4, sizeof(buf) - 1);
		json = json_loadb(buf, n, 0, NULL);
		assert_non_null(json);
		assert_int_equal(json_integer_value(json_object_get(json, "status")), 200);
		assert_string_equal(json_string_value(json_object_get(json, "end")), "done");
		assert_non_null(strstr(json_string_value(json_object_get(json, "path")), "..."));
		json_decref(json);
	}
}

/* A buffer that is too small whatever is cut: no byte beyond it. */
static void test_small(void **state _unused_)
{
	char buf[16 + 1];
	struct access_entry e;

	for (int format = 0; format < _LOG_FORMAT_MAX; format++) {
		memset(buf, '#', sizeof(buf));
		access_begin(&e, "kind");
		access_text(&e, "key", "text");
		access_number(&e, "number", 1234567);
		assert_int_equal(access_format(&e, (enum log_format)format, buf, 16), 15);
		assert_int_equal(strlen(buf), 15);
		assert_int_equal(buf[16], '#');
	}
}

/* What is written to stderr, without time and level. */
static void write_caught(const struct access_session *s, enum log_format format, char *buf,
			 size_t size)
{
	int fds[2], saved = dup(STDERR_FILENO);
	char *text;
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(log_access_setup("yes", format, (uid_t)-1, (gid_t)-1), 0);
	access_write_session(s);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	n = read(fds[0], buf, size - 1);
	assert_true(n > 0);
	buf[n] = '\0';
	if (format == LOG_FORMAT_JSON) {
		/* The line is the object, with both as its first keys. */
		assert_memory_equal(buf, "{\"time\":\"20", 11);
		text = strstr(buf, "Z\",\"level\":\"info\",");
		assert_non_null(text);
		memmove(buf + 1, text + 18, strlen(text + 18) + 1);
	} else {
		text = strstr(buf, " info ");
		assert_non_null(text);
		memmove(buf, text + 6, strlen(text + 6) + 1);
	}
	(void)close(saved);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void test_session(void **state _unused_)
{
	struct access_session s = {
	    .id = 3,
	    .client = "127.0.0.1:45510",
	    .listener = "web",
	    .pool = "hello",
	    .server = "demo",
	    .backend = "unix:/run/a b",
	    .bytes_up = 94,
	    .bytes_down = 1000000124,
	    .duration_ms = 2438,
	    .engine = "kernel",
	    .pauses = 76,
	    .end = "done",
	};
	char buf[4096];

	log_setup(LOG_TO_STDERR, LOG_LVL_ERROR);
	write_caught(&s, LOG_FORMAT_TEXT, buf, sizeof(buf));
	assert_string_equal(
	    buf, "session id=3 client=127.0.0.1:45510 listener=web pool=hello server=demo "
		 "backend=unix:/run/a%20b bytes_up=94 bytes_down=1000000124 duration_ms=2438 "
		 "engine=kernel pauses=76 end=done\n");
	write_caught(&s, LOG_FORMAT_JSON, buf, sizeof(buf));
	assert_string_equal(
	    buf, "{\"kind\":\"session\",\"id\":3,\"client\":\"127.0.0.1:45510\",\"listener\":"
		 "\"web\",\"pool\":\"hello\",\"server\":\"demo\",\"backend\":\"unix:/run/a b\","
		 "\"bytes_up\":94,\"bytes_down\":1000000124,\"duration_ms\":2438,\"engine\":"
		 "\"kernel\",\"pauses\":76,\"end\":\"done\"}\n");

	s = (struct access_session){
	    .client = "[::1]:1", .listener = "l", .pool = "p", .end = "denied"};
	write_caught(&s, LOG_FORMAT_TEXT, buf, sizeof(buf));
	assert_string_equal(buf, "session id=0 client=[::1]:1 listener=l pool=p server=- backend=- "
				 "bytes_up=0 bytes_down=0 duration_ms=0 engine=- pauses=0 "
				 "end=denied\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order),    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_encoding), cmocka_unit_test(test_long),
	    cmocka_unit_test(test_small),    cmocka_unit_test(test_session),
	};

	return cmocka_run_group_tests_name("accesslog", tests, NULL, NULL);
}

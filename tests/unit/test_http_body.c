/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bodies on their way: what goes to the target, in how many writes, and what of a bad one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "../../daemon/http/body.h"
#include "../../daemon/http/error.h"
#include "../../daemon/util.h"

#define PIECE (128 * 1024)

static char buffer[160 * 1024];
static char input[4 * PIECE], output[2 * sizeof(input)];

static size_t joined(const struct body_spans *s, char *to)
{
	char *at = to;

	for (int i = 0; i < s->n; i++)
		at = mempcpy(at, s->iov[i].iov_base, s->iov[i].iov_len);
	return (size_t)(at - to);
}

/* So many chunks of `size` bytes each, and the end. Returns the length. */
static size_t fill(size_t chunk, size_t chunks)
{
	char *at = input;

	for (size_t i = 0; i < chunks; i++) {
		at += sprintf(at, "%zx\r\n", chunk);
		memset(at, 'x', chunk);
		at += chunk;
		at = mempcpy(at, "\r\n", 2);
	}
	at = mempcpy(at, "0\r\n\r\n", 5);
	return (size_t)(at - input);
}

static size_t take(struct http_body *b, const char *in, size_t len, struct body_spans *spans)
{
	body_spans_init(spans, buffer, sizeof(buffer));
	return body_take(b, in, len, spans);
}

/* ---- writes ---- */

/* What one read gives is used up, and is one contiguous write. */
static void tiny_chunks_are_one_write(void **state _unused_)
{
	static const size_t sizes[] = {1, 2, 3, 15, 16, 100, 1000, 4000};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct body_spans spans;
		struct http_body b;
		size_t len = fill(sizes[i], PIECE / (sizes[i] + 8));

		body_begin(&b, BODY_CHUNKED, 0);
		assert_int_equal(take(&b, input, len, &spans), len);
		assert_true(b.done && !b.error);
		assert_int_equal(spans.n, 1);
		assert_int_equal(joined(&spans, output), len);
		assert_memory_equal(output, input, len);
	}
}

/* Large ones are not copied. */
static void large_chunks_stay_where_they_are(void **state _unused_)
{
	struct body_spans spans;
	struct http_body b;
	size_t len = fill(60000, 2);

	body_begin(&b, BODY_CHUNKED, 0);
	assert_int_equal(take(&b, input, len, &spans), len);
	assert_true(spans.at < 32);
	assert_int_equal(joined(&spans, output), len);
	assert_memory_equal(output, input, len);
}

/* In a buffer of any size: whatever does not fit is left for the next call. */
static void a_small_buffer_takes_a_part(void **state _unused_)
{
	size_t len = fill(7, 2000), done, got;

	for (size_t size = 4200; size < 12000; size += 77) {
		struct body_spans spans;
		struct http_body b;

		body_begin(&b, BODY_CHUNKED, 0);
		for (done = got = 0; !b.done;) {
			size_t n;

			body_spans_init(&spans, buffer, size);
			n = body_take(&b, input + done, len - done, &spans);
			assert_true(n > 0 && spans.at <= size);
			got += joined(&spans, output + got);
			done += n;
		}
		assert_int_equal(got, len);
		assert_memory_equal(output, input, len);
	}
}

/* ---- errors ---- */

/* What is good before the error goes out, in whatever pieces it comes; nothing behind it. */
static void what_was_good_goes_out(void **state _unused_)
{
	static const struct {
		const char *in, *out;
		enum http_error error;
	} all[] = {
	    {"2\r\nok\r\nxyz", "2\r\nok\r\n", HTTP_BAD_CHUNK_SIZE},
	    {"2\r\nokX\r\n", "2\r\nok\r\n", HTTP_BAD_CHUNK_END},
	    {"2\r\nok\r\n5\nhello", "2\r\nok\r\n", HTTP_BARE_LF},
	    {"2\r\nok\r\n0\r\nHost: a\r\n\r\n", "2\r\nok\r\n", HTTP_BAD_TRAILER},
	    {"2\r\nok\r\n0\r\nA: b\r\nc\r\n\r\n", "2\r\nok\r\n0\r\nA: b\r\n", HTTP_BAD_NAME},
	    {"2\r\nok\r\n1;\x01", "2\r\nok\r\n", HTTP_BAD_CHUNK_EXTENSION},
	    {"q", "", HTTP_BAD_CHUNK_SIZE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (size_t step = 1; step <= strlen(all[i].in); step++) {
			size_t len = strlen(all[i].in), at = 0, end = 0, got = 0;
			struct body_spans spans;
			struct http_body b;

			body_begin(&b, BODY_CHUNKED, 0);
			while (!b.error && end < len) {
				end = MIN(end + step, len);
				at += take(&b, all[i].in + at, end - at, &spans);
				got += joined(&spans, output + got);
			}
			assert_int_equal(b.error, all[i].error);
			assert_int_equal(got, strlen(all[i].out));
			assert_memory_equal(output, all[i].out, got);
			assert_int_equal(take(&b, "5\r\n", 3, &spans), 0);
			assert_int_equal(spans.n, 0);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tiny_chunks_are_one_write),
	    cmocka_unit_test(large_chunks_stay_where_they_are),
	    cmocka_unit_test(a_small_buffer_takes_a_part),
	    cmocka_unit_test(what_was_good_goes_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

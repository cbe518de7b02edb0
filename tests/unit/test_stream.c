/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state table of streams, against the same table written out in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "../../daemon/session.h"
#include "../../daemon/splice/stream.h"
#include "../../daemon/util.h"

struct allowed {
	const char *from, *next;
};

static const struct allowed stream_table[] = {
    {"new", "copy"},        /* the backend is connected */
    {"copy", "engaged"},    /* to the kernel */
    {"copy", "ending"},     /* the end was read */
    {"engaged", "serving"}, /* bytes were handed up */
    {"engaged", "paused"},  /* the target is slow */
    {"engaged", "ending"},  /* the end was proved */
    {"engaged", "copy"},    /* the target is about to be shut down */
    {"serving", "copy"},    /* what was handed up is written from there */
    {"paused", "engaged"},  /* the target has drained */
    {"paused", "copy"},     /* the source has ended meanwhile */
    {"ending", "done"},     /* the target has taken everything */
};

static bool is_in(const struct allowed *table, size_t n, const char *from, const char *next)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(table[i].from, from) == 0 && strcmp(table[i].next, next) == 0)
			return true;
	return false;
}

static void test_stream_table(void **state _unused_)
{
	size_t seen = 0;

	for (int from = 0; from < _STREAM_STATE_MAX; from++) {
		for (int next = 0; next < _STREAM_STATE_MAX; next++) {
			bool want = is_in(stream_table, ARRAY_SIZE(stream_table),
					  stream_state_str[from], stream_state_str[next]);

			seen += want;
			if (stream_may_enter(from, next) != want)
				fail_msg("stream: %s -> %s is %sallowed", stream_state_str[from],
					 stream_state_str[next], want ? "not " : "");
		}
	}
	assert_int_equal(seen, ARRAY_SIZE(stream_table));
}

/* Every state can be reached from the first one, and the last one from every other. */
static void test_no_stream_state_is_a_trap(void **state _unused_)
{
	bool reach[_STREAM_STATE_MAX][_STREAM_STATE_MAX] = {0};

	for (int a = 0; a < _STREAM_STATE_MAX; a++)
		for (int b = 0; b < _STREAM_STATE_MAX; b++)
			reach[a][b] = stream_may_enter(a, b);
	for (int via = 0; via < _STREAM_STATE_MAX; via++)
		for (int a = 0; a < _STREAM_STATE_MAX; a++)
			for (int b = 0; b < _STREAM_STATE_MAX; b++)
				reach[a][b] |= reach[a][via] && reach[via][b];
	for (int s = 0; s < _STREAM_STATE_MAX; s++) {
		if (s != STREAM_NEW)
			assert_true(reach[STREAM_NEW][s]);
		if (s != STREAM_DONE)
			assert_true(reach[s][STREAM_DONE]);
		assert_false(stream_may_enter(s, s));
		assert_false(stream_may_enter(STREAM_DONE, s));
	}
}

/* Names appear in the access log and in JSON: all there, all different, one word each. */
static void check_names(const char *const names[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert_non_null(names[i]);
		assert_true(names[i][0]);
		assert_int_equal(strspn(names[i], "abcdefghijklmnopqrstuvwxyz_"), strlen(names[i]));
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(names[i], names[j]);
	}
}

static void test_names(void **state _unused_)
{
	check_names(stream_state_str, _STREAM_STATE_MAX);
	check_names(session_end_str, _SESSION_END_MAX);
	check_names(copy_reason_str, _COPY_REASON_MAX);
	assert_string_equal(session_end_str[END_DONE], "done");
	assert_string_equal(session_end_str[END_INTEGRITY], "integrity");
	assert_string_equal(engine_str(false), "copy");
	assert_string_equal(engine_str(true), "kernel");
}

/* Bytes are counted once, whoever moved them. */
static void test_moved(void **state _unused_)
{
	struct lane lane = {.redirected = UINT64_C(5) << 32};
	struct stream s = {.copied = 7};

	assert_int_equal(stream_redirected(&s), 0);
	assert_int_equal(stream_moved(&s), 7);
	s.lane = &lane;
	assert_int_equal(stream_redirected(&s), UINT64_C(5) << 32);
	assert_int_equal(stream_moved(&s), (UINT64_C(5) << 32) + 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_stream_table),
	    cmocka_unit_test(test_no_stream_state_is_a_trap),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

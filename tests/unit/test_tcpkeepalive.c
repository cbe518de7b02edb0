/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcp_keepalive: from text and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../../daemon/config/tcpkeepalive.h"
#include "../../daemon/conn.h"

static const struct {
	const char *text, *again;
	struct tcp_keepalive k;
} good[] = {
    {"no", "no", {TCP_KEEPALIVE_NO, 0, 0, 0}},
    {"yes", "yes", {TCP_KEEPALIVE_YES, 0, 0, 0}},
    {"auto", "auto", {TCP_KEEPALIVE_AUTO, 0, 0, 0}},
    {"30m::10", "30m::10", {TCP_KEEPALIVE_YES, 1800, 0, 10}},
    {"7200:75:9", "2h:75s:9", {TCP_KEEPALIVE_YES, 7200, 75, 9}},
    {"1s:1s:1", "1s:1s:1", {TCP_KEEPALIVE_YES, 1, 1, 1}},
    {"1::", "1s::", {TCP_KEEPALIVE_YES, 1, 0, 0}},
    {":1m:", ":1m:", {TCP_KEEPALIVE_YES, 0, 60, 0}},
    {"::127", "::127", {TCP_KEEPALIVE_YES, 0, 0, 127}},
    {"32767s:32767s:127", "32767s:32767s:127", {TCP_KEEPALIVE_YES, 32767, 32767, 127}},
    {"9h::", "9h::", {TCP_KEEPALIVE_YES, 32400, 0, 0}},
};

static const char *const bad[] = {
    "on",
    "off",
    "30",
    "30:10",
    "::",
    ":",
    "1:1:1:1",
    "0::",
    ":0:",
    "::0",
    "-1::",
    "32768::",
    ":32768s:",
    "::128",
    "1d::",
    "10h::",
    "500ms::",
    "1 ::",
    "::1s",
    "1x::",
    "+1::",
    "1:1:1 ",
    "99999999999999999999::",
    "18446744073709551615m::",
};

static void test_good(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct tcp_keepalive k = {.mode = _TCP_KEEPALIVE_MAX};
		struct text why = {0};
		char *again = NULL;
		size_t size = 0;
		FILE *out;

		assert_int_equal(tcpkeepalive_parse(NULL, good[i].text, &k, &why), 0);
		assert_memory_equal(&k, &good[i].k, sizeof(k));
		out = open_memstream(&again, &size);
		assert_non_null(out);
		tcpkeepalive_format(&k, out);
		assert_int_equal(fclose(out), 0);
		assert_string_equal(again, good[i].again);
		free(again);
	}
}

static void test_bad(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct tcp_keepalive k = {.mode = TCP_KEEPALIVE_AUTO, .idle = 7};
		struct text why = {0};

		if (tcpkeepalive_parse(NULL, bad[i], &k, &why) != -EINVAL)
			fail_msg("\"%s\" was taken", bad[i]);
		assert_int_equal(k.idle, 7);
		assert_true(why.len > strlen(bad[i]));
	}
}

static void test_auto(void **state _unused_)
{
	const struct tcp_keepalive no = {.mode = TCP_KEEPALIVE_NO},
				   yes = {.mode = TCP_KEEPALIVE_YES},
				   automatic = {.mode = TCP_KEEPALIVE_AUTO};

	assert_false(conn_wants_keepalive(&no, UINT64_MAX));
	assert_true(conn_wants_keepalive(&yes, 0));
	/* conn_setup() was not called: the kernel's own default. */
	assert_false(conn_wants_keepalive(&automatic, 7200 * NSEC_PER_SEC));
	assert_true(conn_wants_keepalive(&automatic, 7201 * NSEC_PER_SEC));
	assert_true(conn_wants_keepalive(&automatic, UINT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good),
	    cmocka_unit_test(test_bad),
	    cmocka_unit_test(test_auto),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the log says of a session whose socket failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "../../daemon/session.h"
#include "../../daemon/util.h"

static void of_a_peer(void **state _unused_)
{
	static const int resets[] = {ECONNRESET, ECONNABORTED, EPIPE, ECONNREFUSED};
	static const int losses[] = {ETIMEDOUT,   EHOSTUNREACH, EHOSTDOWN,
				     ENETUNREACH, ENETDOWN,     ENETRESET};

	for (size_t i = 0; i < ARRAY_SIZE(resets); i++) {
		assert_int_equal(session_end_by(SIDE_CLIENT, resets[i]), END_CLIENT_RESET);
		assert_int_equal(session_end_by(SIDE_BACKEND, resets[i]), END_SERVER_RESET);
	}
	for (size_t i = 0; i < ARRAY_SIZE(losses); i++) {
		assert_int_equal(session_end_by(SIDE_CLIENT, losses[i]), END_CLIENT_LOST);
		assert_int_equal(session_end_by(SIDE_BACKEND, losses[i]), END_SERVER_LOST);
	}
}

static void of_the_daemon(void **state _unused_)
{
	assert_int_equal(session_end_by(SIDE_CLIENT, ENOMEM), END_LIMIT);
	assert_int_equal(session_end_by(SIDE_BACKEND, ENOBUFS), END_LIMIT);
	assert_int_equal(session_end_by(SIDE_CLIENT, EINVAL), END_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(of_a_peer),
	    cmocka_unit_test(of_the_daemon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

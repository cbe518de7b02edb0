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
	static const int errors[] = {ECONNRESET, EPIPE,       ETIMEDOUT, EHOSTUNREACH,
				     EHOSTDOWN,  ENETUNREACH, ENETDOWN,  ECONNREFUSED};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		assert_int_equal(session_end_by(SIDE_CLIENT, errors[i]), END_CLIENT_RESET);
		assert_int_equal(session_end_by(SIDE_BACKEND, errors[i]), END_SERVER_RESET);
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The small things: what they give for mixed types, and how often they look at their arguments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../daemon/util.h"

/* As a counter of the kernel's, which goes on while it is read. */
static uint64_t grows(void)
{
	static uint64_t n;

	return n += 100;
}

static void test_arguments_are_evaluated_once(void **state _unused_)
{
	uint64_t first = grows();

	/* Twice, the second one would be above the bound. */
	assert_int_equal(MIN(first + 150, grows()), first + 100);
	assert_int_equal(MAX(first + 150, grows()), first + 200);
	assert_int_equal(grows(), first + 300);
}

static void test_of_the_common_type(void **state _unused_)
{
	uint8_t small = 200;
	int64_t negative = -5;
	size_t size = SIZE_MAX;

	assert_int_equal(MIN(small, 100), 100);
	assert_int_equal(MAX(small, 100), 200);
	assert_true(MIN(negative, 3) == -5);
	assert_true(MAX(negative, -6) == -5);
	assert_true(MIN(size, UINT64_C(7)) == 7);
	assert_true(MAX(size, UINT64_C(7)) == SIZE_MAX);
	assert_true(MAX(MIN(size, 9U), small) == 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_arguments_are_evaluated_once),
	    cmocka_unit_test(test_of_the_common_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

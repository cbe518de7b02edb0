/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which release a kernel is made of, by what distributions say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../daemon/kernelversion.h"
#include "../../daemon/util.h"

static void test_words(void **state _unused_)
{
	static const struct {
		const char *release, *version, *signature;
		uint32_t want;
	} cases[] = {
	    {"6.18.44", "#1 SMP", NULL, 0x06122c},
	    {"6.6.300-lts", "#1 SMP", NULL, 0x0606ff},
	    {"6.8-rc5", "#1 SMP", NULL, 0x060800},
	    {"6.1.0-37-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.140-1 (2025-05-22)", NULL,
	     0x06018c},
	    {"6.12.9+bpo-amd64", "#1 SMP Debian x", NULL, 0x060c09},
	    {"6.5.0-28-generic", "#29-Ubuntu SMP", "Ubuntu 6.5.0-28.29-generic 6.5.13\n", 0x06050d},
	    {"6.5.0-28-generic", "#29-Ubuntu SMP", "nothing", 0x060500},
	    {"none", "none", "no version", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(
		    kernel_version_of(cases[i].release, cases[i].version, cases[i].signature),
		    cases[i].want);
}

/* The daemon runs on none that is older. */
static void test_this_one(void **state _unused_)
{
	assert_true(kernel_version() >= 0x060100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_words),
	    cmocka_unit_test(test_this_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

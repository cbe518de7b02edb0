/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is steered to listeners, as a file says it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../bpf/steer-api.h"
#include "../../daemon/config/steer.h"

static struct steer parsed(const char *text)
{
	struct text why = {0};
	struct steer s;

	if (steer_parse(text, &s, &why) < 0)
		fail_msg("%s: %s", text, why.s);
	return s;
}

static void assert_bad(const char *text, const char *expected)
{
	struct text why = {0};
	struct steer s;

	assert_int_equal(steer_parse(text, &s, &why), -EINVAL);
	if (!strstr(why.s, expected))
		fail_msg("%s: %s", text, why.s);
}

static void assert_overlap(const char *a, const char *b, bool expected)
{
	struct steer x = parsed(a), y = parsed(b);

	if (steer_overlaps(&x, &y) != expected || steer_overlaps(&y, &x) != expected)
		fail_msg("%s and %s", a, b);
	steer_clear(&x);
	steer_clear(&y);
}

static void test_parse(void **state _unused_)
{
	struct steer s = parsed("10.0.0.0/24:8000-8999");

	assert_int_equal(s.what.network.prefix, 24);
	assert_int_equal(s.what.first, 8000);
	assert_int_equal(s.what.last, 8999);
	assert_int_equal(s.n_except, 0);
	steer_clear(&s);

	s = parsed("*:1-65535 except 22  [fd00::/8]:80-90 10.0.0.0/8");
	assert_int_equal(s.what.network.family, 0);
	assert_int_equal(s.n_except, 3);
	assert_int_equal(s.except[0].first, 22);
	assert_int_equal(s.except[1].last, 90);
	assert_int_equal(s.except[2].network.prefix, 8);
	steer_clear(&s);

	s = parsed("8080");
	assert_int_equal(s.what.network.family, 0);
	assert_int_equal(s.what.last, 8080);
	steer_clear(&s);
}

static void test_bad(void **state _unused_)
{
	assert_bad("", "not a port");
	assert_bad("*:0", "not a port");
	assert_bad("*:8999-8000", "not a port, FIRST-LAST or *");
	assert_bad("*:1-65536", "not a port, FIRST-LAST or *");
	assert_bad("10.0.0.0/33:80", "prefix length is not 0-32");
	assert_bad("10.0.0.1/24:80", "bits are set beyond");
	assert_bad("unix:80", "not an IP network");
	assert_bad("*:80 without 22", "\"without\": is not except");
	assert_bad("*:80 except", "nothing follows except");
	assert_bad("*:80 except 22", "\"22\": nothing of it is steered here");
	assert_bad("10.0.0.0/8:80 except 11.0.0.0/8:80", "nothing of it is steered here");
	assert_bad("10.0.0.0/8:80 except [fd00::/8]:80", "nothing of it is steered here");
	assert_bad("*:80 except 80 x", "\"x\": not a port");
}

static void test_overlaps(void **state _unused_)
{
	assert_overlap("*:80-90", "*:90-100", true);
	assert_overlap("*:80-89", "*:90-100", false);
	assert_overlap("10.0.0.0/8:80", "10.1.0.0/16:*", true);
	assert_overlap("10.0.0.0/16:80", "10.1.0.0/16:80", false);
	assert_overlap("0.0.0.0/0:80", "[::/0]:80", false);
	assert_overlap("*:80", "[fd00::/8]:80", true);
	assert_overlap("*:80-90 except 85", "*:85", false);
	assert_overlap("*:80-90 except 85 86", "*:85-86", false);
	assert_overlap("*:80-90 except 86 85", "*:85-87", true);
	assert_overlap("*:80-90 except 85", "*:84-85 except 84", false);
	assert_overlap("*:80-90 except 10.0.0.0/8:85", "10.1.0.0/16:85", false);
	assert_overlap("*:80-90 except 10.1.0.0/16:85", "10.0.0.0/8:85", true);
	assert_overlap("*:1-65535 except 65535", "*:65535", false);
}

/* ---- the whole file --------------------------------------------------------------------- */

#define POOL                 "[pool p]\nserver = a 1.2.3.4:5\n"
#define LISTENER(name, bind) "[listener " name "]\nbind = " bind "\npool = p\n"

/* NULL: it is right. */
static void assert_file(const char *text, const char *expected)
{
	FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	struct config *c = NULL;
	char *errors = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&errors, &size);
	int err = config_load_stream("t.conf", in, &c, out);

	(void)fclose(in);
	(void)fclose(out);
	if (expected ? !err || strcmp(errors, expected) != 0 : err != 0)
		fail_msg("%s: %s", text, errors);
	free(errors);
	config_free(c);
}

static void test_file(void **state _unused_)
{
	assert_file(POOL LISTENER("a", "steer:*:1-65535 except 22, steer:10.0.0.1:22")
			LISTENER("b", "0.0.0.0:22"),
		    NULL);
	assert_file(POOL LISTENER("a", "steer:*:80, 1.2.3.4:5"),
		    "t.conf:4: bind: 1.2.3.4:5 beside steer:*:80 in [listener a]; allowed: a "
		    "listener of its own for what is steered\n");
	assert_file(POOL LISTENER("a", "steer:*:1-100") LISTENER("b", "steer:10.0.0.0/8:80"),
		    "t.conf:7: bind: steer:10.0.0.0/8:80 overlaps steer:*:1-100 of listener a on "
		    "line 4; allowed: each address and port steered to one listener, which except "
		    "can see to\n");
	assert_file(POOL LISTENER("a", "steer:*:80") "[intercept i]\ncgroup = self\noutbound = 9\n"
						     "listener = a\n",
		    "t.conf:9: listener: a binds no IP address; allowed: a listener that does\n");
}

/* As many as the programs have room for, exceptions and all; and one more. */
static void test_number(void **state _unused_)
{
	char text[8192] = POOL "[listener a]\npool = p\nbind = steer:*:1-999 except 7";
	size_t used = strlen(text);

	for (int i = 2; i < STEER_RULES; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "\nbind = steer:*:%d",
					 1000 + i);
	(void)snprintf(text + used, sizeof(text) - used, "\n");
	assert_file(text, NULL);
	(void)snprintf(text + used, sizeof(text) - used, "\nbind = steer:*:5000\n");
	assert_file(text, "t.conf:132: bind: with this one there are 129 ranges and exceptions "
			  "that are steered; allowed: 128 in all listeners together\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),    cmocka_unit_test(test_bad),
	    cmocka_unit_test(test_overlaps), cmocka_unit_test(test_file),
	    cmocka_unit_test(test_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

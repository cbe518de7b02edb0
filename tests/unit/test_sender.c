/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From whose address a connection is made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "../../daemon/sender.h"
#include "../../daemon/util.h"

static struct addr parsed(const char *text)
{
	const char *why = NULL;
	struct addr a;

	assert_int_equal(addr_parse(text, &a, &why), 0);
	return a;
}

/* The address that is chosen: "" is this host's own. */
static int choose(const char *client, const char *server, char ret[INET6_ADDRSTRLEN])
{
	struct addr c = parsed(client), s = parsed(server);
	struct sender from;
	int err = sender_choose(&c, &s, &from);

	ret[0] = '\0';
	if (!err && sender_is_client(&from))
		(void)inet_ntop(AF_INET6, &from.addr, ret, INET6_ADDRSTRLEN);
	return err;
}

static void choices(void **state _unused_)
{
	static const struct {
		const char *client, *server, *from;
		int err;
	} cases[] = {
	    {"10.0.0.1:5", "10.0.0.2:80", "::ffff:10.0.0.1", 0},
	    {"10.0.0.1:5", "127.0.0.1:80", "::ffff:10.0.0.1", 0},
	    {"[2001:db8::1]:5", "[2001:db8::2]:80", "2001:db8::1", 0},
	    {"127.0.0.7:5", "127.0.0.1:80", "::ffff:127.0.0.7", 0},
	    {"[::1]:5", "[::1]:80", "::1", 0},
	    /* A server of IPv6 whose address stands for one of IPv4. */
	    {"10.0.0.1:5", "[::ffff:10.0.0.2]:80", "::ffff:10.0.0.1", 0},
	    {"[2001:db8::1]:5", "[::ffff:10.0.0.2]:80", "", -EPFNOSUPPORT},
	    {"10.0.0.1:5", "[2001:db8::2]:80", "", -EPFNOSUPPORT},
	    {"[2001:db8::1]:5", "10.0.0.2:80", "", -EPFNOSUPPORT},
	    /* What means nothing there. */
	    {"127.0.0.1:5", "10.0.0.2:80", "", 0},
	    {"[::1]:5", "10.0.0.2:80", "", 0},
	    {"unix:/a", "10.0.0.2:80", "", 0},
	    {"10.0.0.1:5", "unix:/a", "", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char from[INET6_ADDRSTRLEN];

		print_message("%s to %s\n", cases[i].client, cases[i].server);
		assert_int_equal(choose(cases[i].client, cases[i].server, from), cases[i].err);
		assert_string_equal(from, cases[i].from);
	}
}

static void equality(void **state _unused_)
{
	struct addr server = parsed("10.0.0.9:80"), a = parsed("10.0.0.1:1"),
		    b = parsed("10.0.0.2:1");
	struct addr c = parsed("10.0.0.1:2");
	struct sender x, y, own = {0};

	assert_int_equal(sender_choose(&a, &server, &x), 0);
	assert_int_equal(sender_choose(&b, &server, &y), 0);
	assert_false(sender_equal(&x, &y));
	assert_false(sender_equal(&x, &own));
	assert_int_equal(sender_choose(&c, &server, &y), 0);
	assert_true(sender_equal(&x, &y));
	y.scope = 1;
	assert_false(sender_equal(&x, &y));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(choices),
	    cmocka_unit_test(equality),
	};

	return cmocka_run_group_tests_name("sender", tests, NULL, NULL);
}

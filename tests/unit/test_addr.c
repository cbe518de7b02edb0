/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses and networks as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "../../daemon/addr.h"
#include "../../daemon/cidr.h"

static struct addr parsed(const char *text)
{
	const char *why = NULL;
	struct addr a;

	if (addr_parse(text, &a, &why) < 0)
		fail_msg("%s: %s", text, why);
	return a;
}

static void assert_addr_error(const char *text, const char *expected)
{
	struct addr a = {.len = 77};
	const char *why = NULL;

	assert_int_equal(addr_parse(text, &a, &why), -EINVAL);
	assert_string_equal(why, expected);
	assert_int_equal(a.len, 77);
}

static void assert_same(const char *text, const char *expected)
{
	struct addr a = parsed(text), again;
	char buf[ADDR_STR_MAX];

	assert_string_equal(addr_format(&a, buf), expected);
	again = parsed(buf);
	assert_true(addr_equal(&a, &again));
}

static void addresses_round_trip(void **state _unused_)
{
	assert_same("1.2.3.4:80", "1.2.3.4:80");
	assert_same("0.0.0.0:0", "0.0.0.0:0");
	assert_same("255.255.255.255:65535", "255.255.255.255:65535");
	assert_same("1.2.3.4:00080", "1.2.3.4:80");
	assert_same("[::]:443", "[::]:443");
	assert_same("[0:0::1]:1", "[::1]:1");
	assert_same("[::ffff:1.2.3.4]:5", "[::ffff:1.2.3.4]:5");
	assert_same("[fe80::1%lo]:9", "[fe80::1%1]:9");
	assert_same("[fe80::1%4711]:9", "[fe80::1%4711]:9");
	assert_same("unix:/run/a b.sock", "unix:/run/a b.sock");
	assert_same("unix:@name", "unix:@name");
}

static void parsed_fields(void **state _unused_)
{
	struct addr a = parsed("10.1.2.3:8080");

	assert_int_equal(a.len, sizeof(struct sockaddr_in));
	assert_int_equal(a.in4.sin_family, AF_INET);
	assert_int_equal(ntohl(a.in4.sin_addr.s_addr), 0x0a010203);
	assert_int_equal(addr_port(&a), 8080);
	addr_set_port(&a, 65535);
	assert_int_equal(ntohs(a.in4.sin_port), 65535);

	a = parsed("[::1]:7");
	assert_int_equal(a.len, sizeof(struct sockaddr_in6));
	assert_int_equal(addr_port(&a), 7);
	addr_set_port(&a, 8);
	assert_int_equal(ntohs(a.in6.sin6_port), 8);

	a = parsed("unix:/x");
	assert_int_equal(a.len, offsetof(struct sockaddr_un, sun_path) + 3);
	assert_string_equal(a.un.sun_path, "/x");
	assert_int_equal(addr_port(&a), 0);
	addr_set_port(&a, 8);
	assert_string_equal(a.un.sun_path, "/x");

	/* An abstract name has no NUL at its end, and one at its start. */
	a = parsed("unix:@x");
	assert_int_equal(a.len, offsetof(struct sockaddr_un, sun_path) + 2);
	assert_memory_equal(a.un.sun_path, "\0x", 2);
}

static void bad_addresses(void **state _unused_)
{
	assert_addr_error("", "port is missing");
	assert_addr_error("1.2.3.4", "port is missing");
	assert_addr_error("[::1]", "port is missing");
	assert_addr_error("[::1", "port is missing");
	assert_addr_error("[", "port is missing");
	assert_addr_error("[::1]80", "port is missing");
	assert_addr_error(":80", "address before the port is missing");
	assert_addr_error("[]:80", "not a valid IPv6 address");
	assert_addr_error("[1.2.3.4]:80", "not a valid IPv6 address");
	assert_addr_error("[::g]:80", "not a valid IPv6 address");
	assert_addr_error("[fe80::1%nosuchif]:80", "no such interface after %");
	assert_addr_error("[fe80::1%]:80", "no such interface after %");
	assert_addr_error("[fe80::1%0]:80", "no such interface after %");
	assert_addr_error("::1:80", "an IPv6 address with a port needs brackets: [::1]:80");
	assert_addr_error("1.2.3.256:80", "not a valid IPv4 address");
	assert_addr_error("1.2.3:80", "not a valid IPv4 address");
	assert_addr_error("host:80", "not a valid IPv4 address");
	assert_addr_error(" 1.2.3.4:80", "not a valid IPv4 address");
	assert_addr_error("1.2.3.4:", "port is not 0-65535");
	assert_addr_error("1.2.3.4:65536", "port is not 0-65535");
	assert_addr_error("1.2.3.4:99999999999999999999", "port is not 0-65535");
	assert_addr_error("1.2.3.4:-1", "port is not 0-65535");
	assert_addr_error("1.2.3.4:+1", "port is not 0-65535");
	assert_addr_error("1.2.3.4: 1", "port is not 0-65535");
	assert_addr_error("1.2.3.4:80x", "port is not 0-65535");
	assert_addr_error(
	    "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:1",
	    "address is too long");
}

/* The same file has the same name. What a link or ".." leads to is the kernel's to know. */
static void unix_paths_are_tidy(void **state _unused_)
{
	static const struct {
		const char *text, *tidy;
	} all[] = {
	    {"unix:/run/x//a.sock", "unix:/run/x/a.sock"},
	    {"unix:/run/x/./a.sock", "unix:/run/x/a.sock"},
	    {"unix:///.//./run/.//a.sock", "unix:/run/a.sock"},
	    {"unix:/run/.x/..y/.../a.", "unix:/run/.x/..y/.../a."},
	    {"unix:/run/../a", "unix:/run/../a"},
	    {"unix:/run/.", "unix:/run/."},
	    {"unix:@/run//x/./a", "unix:@/run//x/./a"},
	};
	char text[256] = "unix:/", buf[ADDR_STR_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct addr a = parsed(all[i].text), b = parsed(all[i].tidy);

		assert_string_equal(addr_format(&a, buf), all[i].tidy);
		assert_true(addr_equal(&a, &b));
	}
	/* The limit is the tidy one's. */
	memset(text + 6, '/', 100);
	memset(text + 106, 'x', 106);
	assert_int_equal(strlen(text), 212);
	assert_int_equal(strlen(parsed(text).un.sun_path), 107);
	strcat(text, "x");
	assert_addr_error(text, "unix path is longer than 107 bytes");
	assert_addr_error("unix:/a//", "unix: a path that ends with / is a folder's");
}

static void unix_path_limits(void **state _unused_)
{
	char text[256] = "unix:/", buf[ADDR_STR_MAX];
	struct addr a;

	assert_addr_error("unix:", "unix: needs an absolute path or @name");
	assert_addr_error("unix:x", "unix: needs an absolute path or @name");
	assert_addr_error("unix:@", "unix:@ needs a name");

	/* 107 bytes and their NUL fill sun_path. */
	memset(text + 6, 'p', 106);
	a = parsed(text);
	assert_int_equal(a.len, sizeof(struct sockaddr_un));
	assert_string_equal(addr_format(&a, buf), text);
	text[5] = '@';
	a = parsed(text);
	assert_string_equal(addr_format(&a, buf), text);

	text[112] = 'p';
	assert_addr_error(text, "unix path is longer than 107 bytes");
	text[5] = '/';
	assert_addr_error(text, "unix path is longer than 107 bytes");
}

static void peers_without_a_name(void **state _unused_)
{
	struct addr none = {0}, peer = {.len = sizeof(sa_family_t), .un.sun_family = AF_UNIX};
	struct addr odd = {.len = 2, .sa.sa_family = AF_APPLETALK};
	char buf[ADDR_STR_MAX];

	assert_string_equal(addr_format(&none, buf), "-");
	assert_string_equal(addr_format(&peer, buf), "unix:");
	assert_string_equal(addr_format(&odd, buf), "?");
	assert_true(addr_equal(&none, &none));
	assert_false(addr_equal(&none, &peer));
	assert_false(addr_equal(&odd, &odd));
	assert_int_equal(addr_port(&none), 0);
}

/* A client chooses its own name; it must not be able to forge a log line with it. */
static void hostile_unix_names(void **state _unused_)
{
	struct addr a = {.un.sun_family = AF_UNIX};
	char buf[ADDR_STR_MAX];

	memcpy(a.un.sun_path, "\0a\0\n\x1b", 5);
	a.len = offsetof(struct sockaddr_un, sun_path) + 5;
	assert_string_equal(addr_format(&a, buf), "unix:@a@??");

	memset(a.un.sun_path, 'x', sizeof(a.un.sun_path));
	a.len = sizeof(a.un);
	assert_int_equal(strlen(addr_format(&a, buf)), 5 + 108);
}

/* What is shown of two may be the same, what is written is not. */
static void every_byte_of_unix_names(void **state _unused_)
{
	static const char *const texts[] = {"unix:/run/\xc3\xa4", "unix:/run/\xc3\xb6",
					    "unix:@\x01\xff",     "unix:/run/??",
					    "[fe80::1%1]:80",     "1.2.3.4:0"};
	char buf[ADDR_STR_MAX];
	const char *why;
	struct addr a;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(addr_parse(texts[i], &a, &why), 0);
		assert_string_equal(addr_write(&a, buf), texts[i]);
	}
	(void)memset(a.un.sun_path, 'x', sizeof(a.un.sun_path));
	a.un.sun_family = AF_UNIX;
	a.len = sizeof(a.un);
	assert_int_equal(strlen(addr_write(&a, buf)), 5 + 108);
}

static void equality(void **state _unused_)
{
	static const char *const different[] = {
	    "1.2.3.4:80",
	    "1.2.3.4:81",
	    "1.2.3.5:80",
	    "[::1]:80",
	    "[::1]:81",
	    "[::2]:80",
	    "unix:/a",
	    "unix:/ab",
	    "unix:@a",
	    "unix:@ab",
	    "[fe80::1]:80",
	    "[fe80::1%1]:80",
	    "[::ffff:1.2.3.4]:80",
	};

	for (size_t i = 0; i < ARRAY_SIZE(different); i++) {
		struct addr a = parsed(different[i]);

		for (size_t j = 0; j < ARRAY_SIZE(different); j++) {
			struct addr b = parsed(different[j]);

			assert_int_equal(addr_equal(&a, &b), i == j);
			assert_int_equal(addr_order(&a, &b) == 0, i == j);
			assert_int_equal(addr_order(&a, &b) < 0, addr_order(&b, &a) > 0);
		}
	}
}

/* getsockname() may or may not count the NUL of a path. */
static void equal_with_and_without_nul(void **state _unused_)
{
	struct addr a = parsed("unix:/a"), b = a;

	b.len--;
	assert_true(addr_equal(&a, &b));
}

static struct cidr network(const char *text)
{
	const char *why = NULL;
	struct cidr c;

	if (cidr_parse(text, &c, &why) < 0)
		fail_msg("%s: %s", text, why);
	return c;
}

static bool matches(const char *net, const char *client)
{
	struct cidr c = network(net);
	struct addr a = parsed(client);

	return cidr_match(&c, &a);
}

static void networks_round_trip(void **state _unused_)
{
	static const char *const texts[][2] = {
	    {"10.0.0.0/8", "10.0.0.0/8"},
	    {"0.0.0.0/0", "0.0.0.0/0"},
	    {"1.2.3.4", "1.2.3.4/32"},
	    {"::1", "::1/128"},
	    {"::/0", "::/0"},
	    {"fd00::/8", "fd00::/8"},
	    {"unix", "unix"},
	    {"::ffff:10.0.0.0/104", "10.0.0.0/8"}, /* mapped: an IPv4 network */
	    {"::ffff:1.2.3.4", "1.2.3.4/32"},
	};
	char buf[ADDR_STR_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct cidr c = network(texts[i][0]), again;

		assert_string_equal(cidr_format(&c, buf), texts[i][1]);
		again = network(buf);
		assert_memory_equal(&c, &again, sizeof(c));
	}
}

static void bad_networks(void **state _unused_)
{
	static const char *const texts[][2] = {
	    {"", "not an IPv4 or IPv6 network"},
	    {"/8", "not an IPv4 or IPv6 network"},
	    {"10.0.0/8", "not an IPv4 or IPv6 network"},
	    {"10.0.0.0:80", "not an IPv4 or IPv6 network"},
	    {"host", "not an IPv4 or IPv6 network"},
	    {"Unix", "not an IPv4 or IPv6 network"},
	    {"[::1]", "not an IPv4 or IPv6 network"},
	    {"00000000000000000000000000000000000000000000000000", "not an IPv4 or IPv6 network"},
	    {"10.0.0.0/", "prefix length is not 0-32"},
	    {"10.0.0.0/33", "prefix length is not 0-32"},
	    {"10.0.0.0/-1", "prefix length is not 0-32"},
	    {"10.0.0.0/255.0.0.0", "prefix length is not 0-32"},
	    {"10.0.0.0/4294967304", "prefix length is not 0-32"},
	    {"::/129", "prefix length is not 0-128"},
	    {"::/", "prefix length is not 0-128"},
	    {"10.0.0.1/8", "bits are set beyond the prefix length"},
	    {"10.0.0.2/30", "bits are set beyond the prefix length"},
	    {"0.0.0.1/0", "bits are set beyond the prefix length"},
	    {"fd00::1/127", "bits are set beyond the prefix length"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const char *why = NULL;
		struct cidr c;

		assert_int_equal(cidr_parse(texts[i][0], &c, &why), -EINVAL);
		assert_string_equal(why, texts[i][1]);
	}
}

static void matching(void **state _unused_)
{
	assert_true(matches("10.0.0.0/8", "10.255.0.1:1"));
	assert_false(matches("10.0.0.0/8", "11.0.0.1:1"));
	assert_true(matches("0.0.0.0/0", "255.0.0.1:1"));
	assert_true(matches("1.2.3.4", "1.2.3.4:9"));
	assert_false(matches("1.2.3.4", "1.2.3.5:9"));
	assert_true(matches("10.0.0.4/30", "10.0.0.7:1"));
	assert_false(matches("10.0.0.4/30", "10.0.0.8:1"));
	assert_true(matches("fd00::/9", "[fd7f::1]:1"));
	assert_false(matches("fd00::/9", "[fd80::1]:1"));
	assert_true(matches("::1", "[::1]:1"));
	assert_false(matches("::1", "[::2]:1"));
	assert_false(matches("0.0.0.0/0", "[::1]:1"));
	assert_false(matches("::/0", "1.2.3.4:1"));
}

/* A mapped address is an IPv4 client, whatever the socket it came through. */
static void matching_mapped(void **state _unused_)
{
	assert_true(matches("10.0.0.0/8", "[::ffff:10.1.1.1]:1"));
	assert_false(matches("10.0.0.0/8", "[::ffff:11.1.1.1]:1"));
	assert_true(matches("::ffff:10.0.0.0/104", "[::ffff:10.1.1.1]:1"));
	assert_true(matches("::ffff:10.0.0.0/104", "10.1.1.1:1"));
	assert_false(matches("::/0", "[::ffff:10.1.1.1]:1"));
}

static void matching_unix(void **state _unused_)
{
	struct addr peer = {.len = sizeof(sa_family_t), .un.sun_family = AF_UNIX}, none = {0};
	struct cidr c = network("unix");

	assert_true(cidr_match(&c, &peer));
	assert_true(matches("unix", "unix:/x"));
	assert_false(matches("unix", "1.2.3.4:1"));
	assert_false(matches("0.0.0.0/0", "unix:/x"));
	assert_false(cidr_match(&c, &none));
}

static void passed_sockets(void **state _unused_)
{
	static const char *const bad[] = {"systemd:", "systemd:a b", "systemd:a:b",
					  "systemd:spliced-store/1"};
	char text[200] = "systemd:", buf[ADDR_STR_MAX];
	const char *why = NULL;
	struct addr a, b;

	assert_true(addr_means_passed("systemd:web"));
	assert_false(addr_means_passed("127.0.0.1:80"));
	assert_int_equal(addr_parse_passed("systemd:web.socket", &a, &why), 0);
	assert_true(addr_is_passed(&a));
	assert_false(addr_has_port(&a));
	assert_string_equal(addr_format(&a, buf), "systemd:web.socket");
	assert_int_equal(addr_parse_passed("systemd:web", &b, &why), 0);
	assert_false(addr_equal(&a, &b));
	assert_true(addr_equal(&a, &a));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(addr_parse_passed(bad[i], &a, &why), -EINVAL);
	memset(text + 8, 'x', 107);
	assert_int_equal(addr_parse_passed(text, &a, &why), 0);
	assert_string_equal(addr_format(&a, buf), text);
	text[8 + 107] = 'x';
	assert_int_equal(addr_parse_passed(text, &a, &why), -EINVAL);
}

static void steered(void **state _unused_)
{
	char text[200] = "steer:", buf[ADDR_STR_MAX];
	const char *why = NULL;
	struct addr a, b;

	assert_true(addr_means_steered("steer:*:80"));
	assert_false(addr_means_steered("systemd:steer"));
	assert_int_equal(addr_parse_steered("steer: *:80  except\t22", &a, &why), 0);
	assert_true(addr_is_steered(&a));
	assert_false(addr_is_passed(&a));
	assert_false(addr_has_port(&a));
	assert_int_equal(addr_port(&a), 0);
	assert_string_equal(addr_format(&a, buf), "steer:*:80 except 22");
	assert_int_equal(addr_parse_steered("steer:*:80 except 22", &b, &why), 0);
	assert_true(addr_equal(&a, &b));
	assert_int_equal(addr_parse_steered("steer:*:80", &b, &why), 0);
	assert_false(addr_equal(&a, &b));
	memset(text + 6, '1', 107);
	assert_int_equal(addr_parse_steered(text, &a, &why), 0);
	assert_string_equal(addr_format(&a, buf), text);
	text[6 + 107] = '1';
	assert_int_equal(addr_parse_steered(text, &a, &why), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(addresses_round_trip),
	    cmocka_unit_test(parsed_fields),
	    cmocka_unit_test(bad_addresses),
	    cmocka_unit_test(passed_sockets),
	    cmocka_unit_test(steered),
	    cmocka_unit_test(unix_path_limits),
	    cmocka_unit_test(unix_paths_are_tidy),
	    cmocka_unit_test(peers_without_a_name),
	    cmocka_unit_test(hostile_unix_names),
	    cmocka_unit_test(every_byte_of_unix_names),
	    cmocka_unit_test(equality),
	    cmocka_unit_test(equal_with_and_without_nul),
	    cmocka_unit_test(networks_round_trip),
	    cmocka_unit_test(bad_networks),
	    cmocka_unit_test(matching),
	    cmocka_unit_test(matching_mapped),
	    cmocka_unit_test(matching_unix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

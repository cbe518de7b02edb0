/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What health checks send, and what they make of the answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "../../daemon/config/config.h"
#include "../../daemon/health/answer.h"
#include "../../daemon/health/clienthello.h"
#include "../../daemon/health/question.h"
#include "../../daemon/sniff/hello.h"
#include "../../daemon/sniff/proxyheader.h"

/* ---- answers ---------------------------------------------------------------------------- */

#define MORE 0
#define BAD  (-1)

/* The status, MORE or BAD; the same in whatever pieces it comes. */
static int status_of(const char *text)
{
	size_t len = strlen(text);
	unsigned int status = 0;
	enum answer a = ANSWER_MORE;

	for (size_t n = 0; n <= len && a == ANSWER_MORE; n++)
		a = answer_http((const uint8_t *)text, n, &status);
	assert_int_equal(answer_http((const uint8_t *)text, len, &status), a);
	return a == ANSWER_GOOD ? (int)status : a == ANSWER_MORE ? MORE : BAD;
}

static void test_http(void **state _unused_)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
	    {"HTTP/1.1 200 OK\r\n", 200},
	    {"HTTP/1.0 404\r", 404},
	    {"HTTP/1.1 999 x", 999},
	    {"HTTP/1.9 503\n", 503},
	    {"HTTP/1.1 101 Switching Protocols\r\n", 101},
	    {"HTTP/1.1 103 x\r\nLink: y\r\n\r\nHTTP/1.1 204 No Content\r\n", 204},
	    {"HTTP/1.1 100\r\n\r\nHTTP/1.1 103\r\n\r\nHTTP/1.1 200 ", 200},
	    {"", MORE},
	    {"HTTP/1.1 200", MORE},
	    {"HTTP/1.1 103 x\r\nLink: y\r\n", MORE},
	    {"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 20", MORE},
	    {"HTTP/1.1 2000 x", BAD},
	    {"HTTP/1.1 20x OK", BAD},
	    {"HTTP/1.1 099 x", BAD},
	    {"HTTP/1.1  200", BAD},
	    {"HTTP/1. 200", BAD},
	    {"HTTP/1.11 200", BAD},
	    {"HTTP/2 200\r\n", BAD},
	    {"http/1.1 200 OK", BAD},
	    {"\r\nHTTP/1.1 200 OK", BAD},
	    {"SSH-2.0-OpenSSH\r\n", BAD},
	    {"HTTP/1.1 103 x\r\n\r\n\r\n", BAD},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (status_of(cases[i].text) != cases[i].status)
			fail_msg("%s: %d", cases[i].text, status_of(cases[i].text));
}

/* An interim head that does not end is not read for ever. */
static void test_http_bound(void **state _unused_)
{
	char text[ANSWER_MAX + 1];

	memset(text, 'x', sizeof(text));
	memcpy(text, "HTTP/1.1 103 ", 13);
	text[ANSWER_MAX - 1] = '\0';
	assert_int_equal(status_of(text), MORE);
	text[ANSWER_MAX - 1] = 'x';
	text[ANSWER_MAX] = '\0';
	assert_int_equal(status_of(text), BAD);
}

static void test_tls(void **state _unused_)
{
	static const struct {
		uint8_t bytes[8];
		size_t len;
		enum answer answer;
		int alert;
	} cases[] = {
	    {{22, 3, 3, 0, 90, 2, 0, 0}, 8, ANSWER_GOOD, -1},
	    {{22, 3, 1, 0, 90, 2}, 6, ANSWER_GOOD, -1},
	    {{22, 3, 1, 0, 1, 2}, 6, ANSWER_GOOD, -1},
	    {{0}, 0, ANSWER_MORE, -1},
	    {{22, 3, 3, 0, 90}, 5, ANSWER_MORE, -1},
	    {{21, 3, 3, 0, 2, 2}, 6, ANSWER_MORE, -1},
	    {{21, 3, 3, 0, 2, 2, 40}, 7, ANSWER_BAD, 40},
	    {{22, 3, 3, 0, 90, 1}, 6, ANSWER_BAD, -1},
	    {{22, 3, 3, 0, 0}, 5, ANSWER_BAD, -1},
	    {{22, 2}, 2, ANSWER_BAD, -1},
	    {{23, 3, 3, 0, 90, 2}, 6, ANSWER_BAD, -1},
	    {{'H', 'T', 'T', 'P'}, 4, ANSWER_BAD, -1},
	    {{'H'}, 1, ANSWER_BAD, -1},
	};
	int alert;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(answer_tls(cases[i].bytes, cases[i].len, &alert), cases[i].answer);
		assert_int_equal(alert, cases[i].alert);
	}
}

/* ---- questions -------------------------------------------------------------------------- */

static const char server[] = "shop.example:80";

static struct pool_config pool_of(enum health_check check, const char *host)
{
	return (struct pool_config){.health_check = check,
				    .health_path = (char *)"/healthz?x=1",
				    .health_host = (char *)host};
}

static void test_request(void **state _unused_)
{
	struct pool_config pool = pool_of(HEALTH_CHECK_HTTP, "");
	uint8_t buf[QUESTION_MAX + 1];
	size_t len = question_build(buf, &pool, server);

	buf[len] = '\0';
	assert_string_equal((char *)buf,
			    "GET /healthz?x=1 HTTP/1.1\r\n"
			    "Host: shop.example:80\r\n"
			    "User-Agent: spliced/" SPLICED_VERSION " (health check)\r\n"
			    "Accept: */*\r\n"
			    "Connection: close\r\n\r\n");
	pool.health_check = HEALTH_CHECK_TCP;
	assert_int_equal(question_build(buf, &pool, server), 0);
}

/* The longest of all fits. */
static void test_longest(void **state _unused_)
{
	char path[1025], host[260];
	struct pool_config pool = pool_of(HEALTH_CHECK_HTTP, host);
	uint8_t buf[QUESTION_MAX];
	size_t len;

	memset(path, '/', sizeof(path) - 1);
	memset(host, 'h', sizeof(host) - 1);
	path[sizeof(path) - 1] = host[sizeof(host) - 1] = '\0';
	pool.health_path = path;
	pool.send_proxy = PROXY_SEND_V1;
	len = question_build(buf, &pool, server);
	assert_true(len < sizeof(buf));
	assert_memory_equal(buf, "PROXY UNKNOWN\r\nGET //", 21);
	assert_memory_equal(buf + len - 4, "\r\n\r\n", 4);
}

/* What reads the ClientHellos of clients reads this one. */
static void check_hello(const char *host, const char *text, const char *sni)
{
	struct pool_config pool = pool_of(HEALTH_CHECK_TLS, host);
	struct client_hello hello;
	uint8_t buf[QUESTION_MAX];
	size_t len = question_build(buf, &pool, text);

	assert_int_equal(client_hello_parse(buf, len, &hello), len);
	assert_string_equal(hello.sni, sni);
	assert_int_equal(hello.version, 0x0304);
	assert_true(len <= CLIENT_HELLO_MAX);
}

static void test_hello(void **state _unused_)
{
	char longest[256];
	uint8_t buf[CLIENT_HELLO_MAX];

	check_hello("", "10.0.0.1:443", "");
	check_hello("", "[2001:db8::1]:443", "");
	check_hello("", "Shop.example.:443", "shop.example");
	check_hello("other.example:8443", "10.0.0.1:443", "other.example");
	check_hello("192.0.2.1:443", "shop.example:443", "");
	check_hello("[2001:db8::1]:443", "shop.example:443", "");
	memset(longest, 'a', 253);
	longest[63] = longest[127] = longest[191] = '.';
	longest[253] = '\0';
	check_hello(longest, "10.0.0.1:443", longest);
	assert_true(client_hello_build(buf, sizeof(buf), longest) <= sizeof(buf));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_http),    cmocka_unit_test(test_http_bound),
	    cmocka_unit_test(test_tls),     cmocka_unit_test(test_request),
	    cmocka_unit_test(test_longest), cmocka_unit_test(test_hello),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

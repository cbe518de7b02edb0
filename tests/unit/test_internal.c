/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hello server, over real connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "../../daemon/internal/server.h"
#include "../../daemon/log.h"
#include "../../daemon/util.h"

#define HEAD_MAX 4096

struct fixture {
	struct internal *hello;
	struct addr where;
};

struct response {
	char head[HEAD_MAX];
	char body[HEAD_MAX]; /* the first bytes of it that came with the head */
	size_t body_len;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	(void)signal(SIGPIPE, SIG_IGN);
	f->hello = internal_start(&f->where);
	assert_non_null(f->hello);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	uint64_t start = now_ns();

	internal_stop(f->hello);
	assert_true(now_ns() - start < 5 * NSEC_PER_SEC);
	free(f);
	return 0;
}

static int dial(const struct fixture *f)
{
	const struct timeval patience = {.tv_sec = 10};
	int fd = socket(f->where.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(connect(fd, &f->where.sa, f->where.len), 0);
	return fd;
}

static void put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads the head, and what came of the body in the same segments. */
static void get_head(int fd, struct response *r)
{
	size_t len = 0;
	char *end = NULL;

	while (!end) {
		ssize_t n = recv(fd, r->head + len, sizeof(r->head) - 1 - len, 0);

		if (n <= 0)
			fail_msg("no response: %s", n ? strerror(errno) : "end of stream");
		len += (size_t)n;
		r->head[len] = '\0';
		end = strstr(r->head, "\r\n\r\n");
	}
	r->body_len = len - (size_t)(end + 4 - r->head);
	memcpy(r->body, end + 4, r->body_len);
	end[2] = '\0';
}

static uint64_t content_length(const struct response *r)
{
	const char *field = strcasestr(r->head, "\r\nContent-Length: ");

	assert_non_null(field);
	return strtoull(field + strlen("\r\nContent-Length: "), NULL, 10);
}

/* A whole response of known length, as text. */
static void get_text(int fd, struct response *r)
{
	uint64_t want;

	get_head(fd, r);
	want = content_length(r);
	assert_true(want < sizeof(r->body));
	while (r->body_len < want) {
		ssize_t n = recv(fd, r->body + r->body_len, want - r->body_len, 0);

		assert_true(n > 0);
		r->body_len += (size_t)n;
	}
	assert_int_equal(r->body_len, want);
	r->body[want] = '\0';
}

static void assert_status(const struct response *r, const char *line)
{
	if (strncmp(r->head, line, strlen(line)) != 0)
		fail_msg("expected \"%s\", got: %s", line, r->head);
}

static void assert_pattern(const void *data, uint64_t at, size_t n)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < n; i++) {
		uint64_t p = at + i;

		if (bytes[i] != ((p * 131 + (p >> 8) * 31 + 7) & 0xff))
			fail_msg("a wrong byte at %llu", (unsigned long long)p);
	}
}

/* Reads the body of /bytes/N from position `at` on, up to `end`. */
static void get_pattern(int fd, uint64_t at, uint64_t end)
{
	static char buf[256 * 1024];

	while (at < end) {
		ssize_t n = recv(fd, buf, MIN(sizeof(buf), end - at), 0);

		assert_true(n > 0);
		assert_pattern(buf, at, (size_t)n);
		at += (uint64_t)n;
	}
}

static void get_bytes(int fd, uint64_t n)
{
	struct response r;
	char request[128];

	(void)snprintf(request, sizeof(request), "GET /bytes/%llu HTTP/1.1\r\nHost: h\r\n\r\n",
		       (unsigned long long)n);
	put(fd, request);
	get_head(fd, &r);
	assert_status(&r, "HTTP/1.1 200 ");
	assert_int_equal(content_length(&r), n);
	assert_true(r.body_len <= n);
	assert_pattern(r.body, 0, r.body_len);
	get_pattern(fd, r.body_len, n);
}

/* ---- tests ---- */

static void test_page(void **state)
{
	struct response r;
	struct addr self = {.len = sizeof(self) - offsetof(struct addr, sa)};
	char want[64];
	int fd = dial(*state);

	assert_int_equal(getsockname(fd, &self.sa, &self.len), 0);
	put(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	get_text(fd, &r);
	assert_status(&r, "HTTP/1.1 200 OK\r\n");
	assert_non_null(strstr(r.head, "Content-Type: text/plain"));
	assert_non_null(strstr(r.body, "/bytes/N"));
	(void)snprintf(want, sizeof(want), "port %u.", ntohs(self.in4.sin_port));
	assert_non_null(strstr(r.body, want));

	/* On the same connection: a head only, and then a page again. */
	put(fd, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
	get_head(fd, &r);
	assert_status(&r, "HTTP/1.1 200 OK\r\n");
	assert_true(content_length(&r) > 0);
	if (r.body_len == 0)
		get_text(fd, &r);
	else
		memcpy(r.head, r.body, 16);
	assert_status(&r, "HTTP/1.1 200 OK");
	(void)close(fd);
}

static void test_errors(void **state)
{
	static const char *const unknown[] = {"/nothing",
					      "/bytes",
					      "/bytes/",
					      "/bytes/-1",
					      "/bytes/x",

					      "/bytes/1x",
					      "/bytes/1099511627777",
					      "/bytes/99999999999999999999999"};
	struct response r;
	char request[128];
	int fd = dial(*state);

	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		(void)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n",
			       unknown[i]);
		put(fd, request);
		get_text(fd, &r);
		assert_status(&r, "HTTP/1.1 404 ");
		assert_string_equal(r.body, "There is nothing here: see /\n");
	}
	put(fd, "DELETE / HTTP/1.1\r\nHost: h\r\n\r\n");
	get_text(fd, &r);
	assert_status(&r, "HTTP/1.1 405 ");
	assert_non_null(strstr(r.head, "\r\nAllow: GET, HEAD\r\n"));
	put(fd, "POST /bytes/5 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
	get_text(fd, &r);
	assert_status(&r, "HTTP/1.1 405 ");
	put(fd, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	get_text(fd, &r);
	assert_status(&r, "HTTP/1.1 405 ");
	assert_non_null(strstr(r.head, "\r\nAllow: POST, PUT\r\n"));
	(void)close(fd);

	/* Not HTTP: whatever it is told, the connection ends. */
	fd = dial(*state);
	put(fd, "\x16\x03\x01 not http\r\n\r\n");
	while (recv(fd, r.body, sizeof(r.body), 0) > 0)
		;
	(void)close(fd);
}

static void test_bytes(void **state)
{
	static const uint64_t sizes[] = {0, 1, 255, 65535, 65536, 65537, 262144, 262145, 30000001};
	struct response r;
	int fd = dial(*state);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		get_bytes(fd, sizes[i]); /* all on one connection */
	put(fd, "HEAD /bytes/1099511627776 HTTP/1.1\r\nHost: h\r\n\r\n");
	get_head(fd, &r);
	assert_int_equal(content_length(&r), UINT64_C(1) << 40);
	get_bytes(fd, 10);
	(void)close(fd);

	fd = dial(*state);
	put(fd, "GET /bytes/3 HTTP/1.0\r\n\r\n");
	get_text(fd, &r);
	assert_pattern(r.body, 0, 3);
	assert_int_equal(recv(fd, r.body, 1, 0), 0);
	(void)close(fd);
}

/* A client that has sent all it will, and reads on. */
static void test_half_close(void **state)
{
	struct response r;
	int fd = dial(*state);

	put(fd, "GET /bytes/8000000 HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	get_head(fd, &r);
	get_pattern(fd, r.body_len, 8000000);
	assert_int_equal(recv(fd, r.body, 1, 0), 0);
	(void)close(fd);

	fd = dial(*state);
	put(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nback");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	get_text(fd, &r);
	assert_string_equal(r.body, "back");
	(void)close(fd);
}

static long resident_kib(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long size = 0;
	long pages = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%ld %ld", &size, &pages), 2);
	(void)fclose(file);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Many clients that do not read cost no memory, hold nobody up, and may go away at any time. */
static void test_slow_clients(void **state)
{
	struct response r;
	long before = resident_kib();
	int fds[50];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = dial(*state);
		put(fds[i], "GET /bytes/1099511627776 HTTP/1.1\r\nHost: h\r\n\r\n");
		get_head(fds[i], &r);
		get_pattern(fds[i], r.body_len, 1000000);
	}
	assert_true(resident_kib() - before < 32768);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i += 2)
		(void)close(fds[i]);
	for (size_t i = 1; i < ARRAY_SIZE(fds); i += 2)
		get_pattern(fds[i], 1000000, 2000000);
	fds[0] = dial(*state);
	get_bytes(fds[0], 100000);
	(void)close(fds[0]);
	for (size_t i = 3; i < ARRAY_SIZE(fds); i += 2)
		(void)close(fds[i]);
	/* One is still being served when the server stops. */
	internal_stop(((struct fixture *)*state)->hello);
	((struct fixture *)*state)->hello = NULL;
	while (recv(fds[1], r.body, sizeof(r.body), 0) > 0)
		;
	(void)close(fds[1]);
}

static void test_echo(void **state)
{
	static char body[300000];
	struct response r;
	char head[256];
	size_t sent = 0;
	int fd = dial(*state);

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (char)((i * 131 + (i >> 8) * 31 + 7) & 0xff);
	(void)snprintf(head, sizeof(head),
		       "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Type: text/x-test\r\n"
		       "Content-Length: %zu\r\n\r\n",
		       sizeof(body));
	put(fd, head);
	while (sent < sizeof(body)) {
		ssize_t n = send(fd, body + sent, sizeof(body) - sent, MSG_NOSIGNAL);

		assert_true(n > 0);
		sent += (size_t)n;
	}
	get_head(fd, &r);
	assert_status(&r, "HTTP/1.1 200 ");
	assert_non_null(strstr(r.head, "Content-Type: text/x-test\r\n"));
	assert_int_equal(content_length(&r), sizeof(body));
	assert_pattern(r.body, 0, r.body_len);
	get_pattern(fd, r.body_len, sizeof(body));

	put(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
	get_text(fd, &r);
	assert_string_equal(r.body, "abcde");
	put(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
	get_text(fd, &r);
	assert_string_equal(r.body, "");
	put(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n");
	get_head(fd, &r);
	assert_status(&r, "HTTP/1.1 413 ");
	(void)close(fd);
}

static void test_stream(void **state)
{
	struct response r;
	char line[128] = "";
	size_t len;
	int fd = dial(*state);
	int gone = dial(*state);

	put(gone, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
	get_head(gone, &r);
	(void)close(gone);

	put(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
	get_head(fd, &r);
	assert_status(&r, "HTTP/1.1 200 ");
	assert_non_null(strstr(r.head, "\r\nTransfer-Encoding: chunked\r\n"));
	memcpy(line, r.body, r.body_len);
	len = r.body_len;
	while (!strstr(line, "line 3\n")) {
		ssize_t n = recv(fd, line + len, sizeof(line) - 1 - len, 0);

		assert_true(n > 0);
		len += (size_t)n;
	}
	assert_non_null(strstr(line, "7\r\nline 1\n\r\n7\r\nline 2\n\r\n7\r\nline 3\n"));
	(void)close(fd);
}

static void test_stop_twice(void **state _unused_)
{
	struct addr where;
	struct internal *h = internal_start(&where);

	assert_non_null(h);
	internal_stop(h);
	internal_stop(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_page),   TEST(test_errors),       TEST(test_bytes),
	    TEST(test_echo),   TEST(test_slow_clients), TEST(test_half_close),
	    TEST(test_stream), TEST(test_stop_twice),
	};

	log_setup(LOG_TO_STDERR, LOG_LVL_INFO);
	return cmocka_run_group_tests_name("hello", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names to addresses, against a DNS server in the same event base. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <event2/dns.h>
#include <event2/dns_struct.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "../../daemon/log.h"
#include "../../daemon/upstream/resolve.h"
#include "../../daemon/util.h"

#define DEADLINE_NS (30 * NSEC_PER_SEC)
#define PORT        8443

enum behaviour { ANSWER, SILENT, NXDOMAIN, BROKEN };

struct fixture {
	struct event_base *base;
	struct evdns_server_port *server;
	struct addr server_addr;
	struct resolver *resolver;
	/* what the server does */
	enum behaviour behaviour;
	bool silent_v6;
	uint32_t v4[40];
	int n_v4;
	bool has_v6;
	int ttl;
	unsigned int asked; /* A questions so far */
	/* what the watcher was told */
	unsigned int absent; /* times that there is no address */
	unsigned int calls;
	size_t n;
	struct addr addrs[80];
	bool free_in_callback;
};

static void on_question(struct evdns_server_request *req, void *arg)
{
	struct fixture *f = arg;
	const struct evdns_server_question *q = req->questions[0];
	bool v6 = q->type == EVDNS_TYPE_AAAA;

	f->asked += !v6;
	if (f->behaviour == SILENT || (v6 && f->silent_v6)) {
		(void)evdns_server_request_drop(req);
		return;
	}
	/* One call with all of them would make one record. */
	for (int i = 0; f->behaviour == ANSWER && !v6 && i < f->n_v4; i++)
		(void)evdns_server_request_add_a_reply(req, q->name, 1, &f->v4[i], f->ttl);
	if (f->behaviour == ANSWER && v6 && f->has_v6)
		(void)evdns_server_request_add_aaaa_reply(req, q->name, 1, &in6addr_loopback,
							  f->ttl);
	(void)evdns_server_request_respond(req, f->behaviour == NXDOMAIN ? 3
						: f->behaviour == BROKEN ? 2
									 : 0);
}

static void on_addresses(const struct addr *addrs, size_t n, void *arg)
{
	struct fixture *f = arg;

	if (n == 0) {
		assert_int_equal(f->calls, 0);
		f->absent++;
		return;
	}
	assert_in_range(n, 1, ARRAY_SIZE(f->addrs));
	memcpy(f->addrs, addrs, n * sizeof(*addrs));
	f->n = n;
	f->calls++;
	if (f->free_in_callback) {
		resolver_free(f->resolver);
		f->resolver = NULL;
	}
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct addr *a = &f->server_addr;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	a->len = sizeof(a->in4);
	a->in4.sin_family = AF_INET;
	a->in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, &a->sa, a->len), 0);
	assert_int_equal(getsockname(fd, &a->sa, &a->len), 0);

	f->base = event_base_new();
	f->server = evdns_add_server_port_with_base(f->base, fd, 0, on_question, f);
	f->resolver = resolver_new(f->base, a, 1);
	assert_non_null(f->resolver);
	f->ttl = 1;
	f->v4[0] = htonl(0x0a000001);
	f->n_v4 = 1;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	resolver_free(f->resolver);
	evdns_close_server_port(f->server);
	/* evdns's own deferred callbacks free what they were given. */
	(void)event_base_loop(f->base, EVLOOP_NONBLOCK);
	event_base_free(f->base);
	free(f);
	return 0;
}

static void on_tick(evutil_socket_t fd _unused_, short what _unused_, void *arg _unused_)
{
}

/* Turns the loop until the condition holds. */
#define wait_until(f, condition)                                                           \
	do {                                                                               \
		uint64_t deadline_ = now_ns() + DEADLINE_NS;                               \
		struct event *tick_ = event_new((f)->base, -1, EV_PERSIST, on_tick, NULL); \
		const struct timeval every_ = {.tv_usec = 20000};                          \
		(void)event_add(tick_, &every_);                                           \
		while (!(condition)) {                                                     \
			assert_true(now_ns() < deadline_);                                 \
			(void)event_base_loop((f)->base, EVLOOP_ONCE);                     \
		}                                                                          \
		event_free(tick_);                                                         \
	} while (0)

static void assert_addresses(const struct fixture *f, const char *want)
{
	char got[4096] = "";
	char ip[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < f->n; i++) {
		const struct addr *a = &f->addrs[i];
		const void *bytes = a->sa.sa_family == AF_INET ? (const void *)&a->in4.sin_addr
							       : (const void *)&a->in6.sin6_addr;

		assert_int_equal(ntohs(a->in4.sin_port), PORT);
		assert_int_equal(a->len,
				 a->sa.sa_family == AF_INET ? sizeof(a->in4) : sizeof(a->in6));
		assert_non_null(inet_ntop(a->sa.sa_family, bytes, ip, sizeof(ip)));
		(void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i ? " " : "",
			       ip);
	}
	assert_string_equal(got, want);
}

static void watch(struct fixture *f, const char *host)
{
	assert_int_equal(resolver_watch(f->resolver, host, PORT, on_addresses, f), 0);
}

/* ---- the log, caught in a file ---- */

static FILE *log_file;
static int real_stderr = -1;

static void log_to_file(void)
{
	log_file = tmpfile();
	assert_non_null(log_file);
	real_stderr = dup(STDERR_FILENO);
	assert_true(real_stderr >= 0);
	assert_int_equal(dup2(fileno(log_file), STDERR_FILENO), STDERR_FILENO);
	log_setup(LOG_TO_STDERR, LOG_LVL_INFO);
}

static void log_from_file(char *buf, size_t size)
{
	ssize_t n;

	assert_int_equal(dup2(real_stderr, STDERR_FILENO), STDERR_FILENO);
	(void)close(real_stderr);
	log_setup(LOG_TO_STDERR, LOG_LVL_ERROR);
	n = pread(fileno(log_file), buf, size - 1, 0);
	assert_true(n >= 0);
	buf[n] = '\0';
	(void)fclose(log_file);
}

static unsigned int count(const char *text, const char *part)
{
	unsigned int n = 0;

	for (; (text = strstr(text, part)); text++)
		n++;
	return n;
}

/* ---- tests ---- */

static void test_both_families_and_changes(void **state)
{
	struct fixture *f = *state;
	unsigned int asked;

	f->has_v6 = true;
	watch(f, "Shop.Example");
	wait_until(f, f->calls == 1);
	assert_addresses(f, "10.0.0.1 ::1");

	/* The same set in another order, and with a repetition, is no change. */
	f->v4[0] = htonl(0x0a000002);
	f->v4[1] = htonl(0x0a000001);
	f->v4[2] = htonl(0x0a000002);
	f->n_v4 = 3;
	wait_until(f, f->calls == 2);
	assert_addresses(f, "10.0.0.1 10.0.0.2 ::1");
	f->v4[0] = htonl(0x0a000001);
	f->v4[1] = htonl(0x0a000002);
	f->n_v4 = 2;
	asked = f->asked;
	wait_until(f, f->asked >= asked + 2);
	assert_int_equal(f->calls, 2);

	/* A family that is known to be gone goes. */
	f->has_v6 = false;
	wait_until(f, f->calls == 3);
	assert_addresses(f, "10.0.0.1 10.0.0.2");

	/* A name that stops existing keeps what it had, and comes back. */
	f->behaviour = NXDOMAIN;
	asked = f->asked;
	wait_until(f, f->asked >= asked + 2);
	assert_int_equal(f->calls, 3);
	f->behaviour = ANSWER;
	f->n_v4 = 1;
	wait_until(f, f->calls == 4);
	assert_addresses(f, "10.0.0.1");
}

static void test_many_addresses(void **state)
{
	struct fixture *f = *state;

	/* About as many as one datagram without EDNS holds. */
	f->n_v4 = 28;
	for (int i = 0; i < f->n_v4; i++)
		f->v4[i] = htonl(0x0a000064 - (uint32_t)i);
	watch(f, "many.example");
	wait_until(f, f->calls == 1);
	assert_int_equal(f->n, 28);
	for (size_t i = 0; i < f->n; i++)
		assert_int_equal(ntohl(f->addrs[i].in4.sin_addr.s_addr), 0x0a000049 + i);
}

/* The family that nobody answers for must not hold the other one up. */
static void test_one_family_silent(void **state)
{
	struct fixture *f = *state;
	uint64_t start = now_ns();

	f->silent_v6 = true;
	watch(f, "half.example");
	wait_until(f, f->calls == 1);
	assert_true(now_ns() - start < 2 * NSEC_PER_SEC);
	assert_addresses(f, "10.0.0.1");
}

static void test_no_answer(void **state)
{
	struct fixture *f = *state;

	f->behaviour = SILENT;
	watch(f, "silent.example");
	wait_until(f, f->asked >= 4); /* three attempts, and the next look-up */
	assert_int_equal(f->calls, 0);
	f->behaviour = ANSWER;
	wait_until(f, f->calls == 1);
	assert_addresses(f, "10.0.0.1");
}

/* A failure is logged once, with what it means, and so is its end. */
static void test_broken_server(void **state)
{
	struct fixture *f = *state;
	char text[4096];

	log_to_file();
	watch(f, "broken.example");
	wait_until(f, f->calls == 1);
	f->behaviour = BROKEN;
	f->v4[0] = htonl(0x0a000009);
	wait_until(f, f->asked >= 6);
	assert_int_equal(f->calls, 1);
	f->behaviour = ANSWER;
	wait_until(f, f->calls == 2);
	assert_addresses(f, "10.0.0.9");
	log_from_file(text, sizeof(text));
	assert_int_equal(count(text, "warning cannot resolve broken.example: "), 1);
	assert_int_equal(count(text, "; its last addresses stay in use\n"), 1);
	assert_int_equal(count(text, "info broken.example resolves again\n"), 1);
	assert_int_equal(count(text, "info broken.example resolves to 10.0.0.1\n"), 1);
	assert_int_equal(count(text, "now resolves to 10.0.0.9 (before: 10.0.0.1)\n"), 1);
	assert_int_equal(count(text, "\n"), 4);
}

static void test_bad_names(void **state)
{
	struct fixture *f = *state;
	char name[300];

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(resolver_watch(f->resolver, "", PORT, on_addresses, f), -EINVAL);
	assert_int_equal(resolver_watch(f->resolver, ".", PORT, on_addresses, f), -EINVAL);
	assert_int_equal(resolver_watch(f->resolver, "a b", PORT, on_addresses, f), -EINVAL);
	assert_int_equal(resolver_watch(f->resolver, name, PORT, on_addresses, f), -EINVAL);

	/* A label that no question can hold is a name that does not resolve. */
	name[100] = '\0';
	watch(f, name);
	f->behaviour = NXDOMAIN;
	watch(f, "absolute.example.");
	wait_until(f, f->asked >= 2);
	assert_int_equal(f->calls, 0);
}

static void test_free_while_asking(void **state)
{
	struct fixture *f = *state;

	/* Before anything was sent, with questions under way, and with answers on their way up. */
	watch(f, "one.example");
	resolver_free(f->resolver);
	for (int turns = 0; turns < 6; turns++) {
		f->resolver = resolver_new(f->base, &f->server_addr, 1);
		assert_non_null(f->resolver);
		for (int i = 0; i < 100; i++) /* more than evdns sends at once */
			watch(f, "two.example");
		for (int i = 0; i < turns; i++)
			(void)event_base_loop(f->base, EVLOOP_NONBLOCK);
		f->calls = 0;
		resolver_free(f->resolver);
		f->resolver = NULL;
		for (int i = 0; i < 10; i++)
			(void)event_base_loop(f->base, EVLOOP_NONBLOCK);
		assert_int_equal(f->calls, 0);
	}
	resolver_free(NULL);

	/* By the watcher itself. */
	f->resolver = resolver_new(f->base, &f->server_addr, 1);
	f->free_in_callback = true;
	watch(f, "three.example");
	watch(f, "four.example");
	wait_until(f, f->calls == 1);
	assert_null(f->resolver);
	f->resolver = resolver_new(f->base, &f->server_addr, 1);
	watch(f, "127.0.0.1");
	assert_int_equal(f->calls, 2);
	assert_null(f->resolver);
}

/* Needs no server and is there at once. */
static void test_local(void **state)
{
	struct fixture *f = *state;

	watch(f, "192.0.2.7");
	assert_addresses(f, "192.0.2.7");
	watch(f, "2001:db8::1");
	assert_addresses(f, "2001:db8::1");
	watch(f, "localhost");
	assert_int_equal(f->calls, 3);
	assert_int_equal(ntohl(f->addrs[0].in4.sin_addr.s_addr), INADDR_LOOPBACK);
	watch(f, "a.localhost.");
	assert_int_equal(f->calls, 4);
	assert_addresses(f, "127.0.0.1 ::1");
	assert_int_equal(f->asked, 0);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* An /etc/hosts and /etc/resolv.conf of our own. False: not permitted here. */
static bool private_etc(const char *hosts, const char *resolv)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount(hosts, "/etc/hosts", "none", MS_BIND, NULL) == 0 &&
	       mount(resolv, "/etc/resolv.conf", "none", MS_BIND, NULL) == 0;
}

/* The last test: it leaves the process in a mount namespace of its own. */
static void test_files(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/test_resolve.XXXXXX";
	char hosts[64];
	char resolv[64];
	struct resolver *r;
	bool permitted;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(hosts, sizeof(hosts), "%s/hosts", dir);
	(void)snprintf(resolv, sizeof(resolv), "%s/resolv.conf", dir);
	write_file(hosts, "# a comment\n"
			  "192.0.2.1\tother  SHOP.example # shop.example\n"
			  "2001:db8::5 shop.example\n"
			  "192.0.2.1 shop.example shop.example\n"
			  "fe80::1%lo shop.example\n"
			  "rubbish shop.example\n"
			  "192.0.2.9 #shop.example\n"
			  "192.0.2.8");
	write_file(resolv, "");
	permitted = private_etc(hosts, resolv);
	if (permitted) {
		watch(f, "shop.example");
		assert_int_equal(f->calls, 1);
		assert_addresses(f, "192.0.2.1 2001:db8::5");
		write_file(hosts, "192.0.2.2 shop.example\n");
		wait_until(f, f->calls == 2);
		assert_addresses(f, "192.0.2.2");
		/* Gone from the file: the servers are asked. */
		write_file(hosts, "");
		wait_until(f, f->calls == 3);
		assert_addresses(f, "10.0.0.1");

		/* No server named: that is the one at 127.0.0.1. */
		r = resolver_new(f->base, NULL, 0);
		assert_non_null(r);
		resolver_free(r);
	}
	(void)unlink(hosts);
	(void)unlink(resolv);
	(void)rmdir(dir);
	if (!permitted) {
		print_message("a private /etc/hosts is not permitted here\n");
		skip();
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_both_families_and_changes),
	    TEST(test_many_addresses),
	    TEST(test_one_family_silent),
	    TEST(test_no_answer),
	    TEST(test_broken_server),
	    TEST(test_bad_names),
	    TEST(test_free_while_asking),
	    TEST(test_local),
	    TEST(test_files),
	};

	log_setup(LOG_TO_STDERR, LOG_LVL_ERROR);
	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A check in a thread that does not run for longer than the check may take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../daemon/config/config.h"
#include "../../daemon/health/check.h"
#include "../../daemon/util.h"

#define TIMEOUT_NS (50 * NSEC_PER_MSEC)
/* So late that it counts. */
#define LATE_NS     (150 * NSEC_PER_MSEC)
#define PATIENCE_NS (20 * NSEC_PER_SEC)

struct fixture {
	struct event_base *base;
	int listening, server; /* -1: none */
	struct pool_config config;
	struct check_turn turn;
	struct check *check;
	struct check_result result;
	bool over, known;
};

static void on_done(struct check *c, const struct check_result *r)
{
	struct fixture *f = c->owner;

	f->over = true;
	f->known = r;
	if (r)
		f->result = *r;
}

static int begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct addr *a;

	assert_non_null(f);
	a = &f->turn.where;
	*a = (struct addr){.len = sizeof(a->in4)};
	a->in4.sin_family = AF_INET;
	a->in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->server = -1;
	f->listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(f->listening, &a->sa, a->len), 0);
	assert_int_equal(getsockname(f->listening, &a->sa, &a->len), 0);
	assert_int_equal(listen(f->listening, 16), 0);
	f->base = event_base_new();
	assert_non_null(f->base);
	f->config = (struct pool_config){.health_check = HEALTH_CHECK_HTTP,
					 .health_path = (char *)"/",
					 .health_host = (char *)"",
					 .health_timeout = TIMEOUT_NS};
	assert_int_equal(statuses_parse("200", &f->config.health_status, NULL), 0);
	*state = f;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;

	check_free(f->check);
	event_base_free(f->base);
	if (f->server >= 0)
		(void)close(f->server);
	(void)close(f->listening);
	free(f);
	return 0;
}

/* It is being connected, and its thread does not run until long after its time. */
static void stall(struct fixture *f)
{
	f->check = check_begin(f->base, &f->config, "test", &f->turn, on_done, f);
	assert_non_null(f->check);
	while (f->check->fd < 0)
		assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
	assert_int_equal(f->check->phase, CHECK_CONNECTING);
	while (now_ns() < f->check->began_ns + TIMEOUT_NS + LATE_NS)
		(void)poll(NULL, 0, 5);
}

static void serve(struct fixture *f)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\n\r\n";
	char text[1024];

	if (f->server < 0)
		f->server = accept4(f->listening, NULL, NULL, SOCK_NONBLOCK);
	if (f->server >= 0 && recv(f->server, text, sizeof(text), 0) > 0)
		assert_int_equal(send(f->server, answer, strlen(answer), MSG_NOSIGNAL),
				 strlen(answer));
}

static void until_over(struct fixture *f, bool answers)
{
	uint64_t until = now_ns() + PATIENCE_NS;

	while (!f->over) {
		assert_true(now_ns() < until);
		assert_true(event_base_loop(f->base, EVLOOP_NONBLOCK) >= 0);
		if (answers)
			serve(f);
		(void)poll(NULL, 0, 1);
	}
}

static void test_a_server_that_was_asked_late(void **state)
{
	struct fixture *f = *state;

	stall(f);
	until_over(f, true);
	assert_true(f->known);
	assert_int_equal(f->result.outcome, CHECK_PASSED);
}

static void test_a_server_that_does_not_answer(void **state)
{
	struct fixture *f = *state;

	stall(f);
	until_over(f, false);
	assert_true(f->known);
	assert_int_equal(f->result.outcome, CHECK_TIMEOUT);
	assert_true(f->result.took_ns > TIMEOUT_NS + LATE_NS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_a_server_that_was_asked_late),
	    TEST(test_a_server_that_does_not_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

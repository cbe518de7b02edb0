/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of HTTP connections when the daemon drains, and when they are idle for too long: in
 * turns that the test runs itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../daemon/http/exchange.h"
#include "stage.h"

#define DATE "Date: Thu, 26 Nov 2026 10:00:00 GMT\r\n"

#define GET     "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define GET_10  "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"
#define OK      "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\n\r\nok"
#define LAST_OK "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 2\r\nConnection: close\r\n\r\nok"
#define BRIEF   "protocol = http\nkeepalive_timeout = 5s\n"

static uint64_t ends(struct stage *st, enum session_end end)
{
	return stage_worker(st)->stats.ends[end];
}

/* The only connection to the server, for all requests. */
static int server_of(struct stage *st, int client)
{
	int server;

	stage_say(st, client, GET);
	server = stage_server(st);
	stage_hears(st, server, GET);
	stage_say(st, server, OK);
	stage_hears(st, client, OK);
	return server;
}

/* A request is answered, and that is the last response. */
static void served_once_more(struct stage *st, int client, int server)
{
	stage_say(st, client, GET);
	stage_hears(st, server, GET);
	stage_say(st, server, OK);
	stage_hears_last(st, client, LAST_OK, 1);
}

static void leave(struct stage *st, int fd)
{
	assert_int_equal(close(fd), 0);
	stage_settle(st);
}

static void finish(struct stage *st, int client, int server)
{
	leave(st, client);
	leave(st, server);
	stage_end(st);
}

static void the_end_closes_what_is_idle(void **state _unused_)
{
	struct stage st;
	int idle, busy, server;

	stage_begin(&st, BRIEF);
	idle = stage_client(&st);
	server = server_of(&st, idle);
	busy = stage_client(&st);
	stage_say(&st, busy, GET);
	stage_hears(&st, server, GET);
	worker_drain(stage_worker(&st), DRAIN_LAST);
	stage_hears_last(&st, idle, "", 1);
	assert_int_equal(ends(&st, END_SHUTDOWN), 1);
	stage_hears(&st, busy, "");
	stage_say(&st, server, OK);
	stage_hears_last(&st, busy, LAST_OK, 1);
	leave(&st, idle);
	finish(&st, busy, server);
}

/* Nobody has read the request yet, and epoll has not told of it. */
static void a_request_that_is_there_is_served(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, BRIEF);
	client = stage_client(&st);
	server = server_of(&st, client);
	assert_int_equal(send(client, GET, strlen(GET), MSG_NOSIGNAL), strlen(GET));
	worker_drain(stage_worker(&st), DRAIN_LAST);
	stage_hears(&st, server, GET);
	stage_say(&st, server, OK);
	stage_hears_last(&st, client, LAST_OK, 1);
	assert_int_equal(ends(&st, END_SHUTDOWN), 0);
	finish(&st, client, server);
}

static void an_upgrade_lets_idle_ones_be(void **state _unused_)
{
	struct stage st;
	int first, second, silent, server;

	stage_begin(&st, BRIEF);
	first = stage_client(&st);
	server = server_of(&st, first);
	second = stage_client(&st);
	stage_say(&st, second, GET);
	stage_hears(&st, server, GET);
	stage_say(&st, server, OK);
	stage_hears(&st, second, OK);
	silent = stage_client(&st);
	worker_drain(stage_worker(&st), DRAIN_RELIEVED);
	stage_hears(&st, first, "");
	served_once_more(&st, first, server);
	stage_hears(&st, silent, "");
	/* One that asks nothing is closed when it would have been. */
	stage_pass(&st, 4 * NSEC_PER_SEC);
	stage_hears(&st, second, "");
	stage_pass(&st, 2 * NSEC_PER_SEC);
	stage_hears_last(&st, second, "", 1);
	stage_hears_last(&st, silent, "", 1);
	leave(&st, second);
	leave(&st, silent);
	finish(&st, first, server);
}

/* Its first request comes after the drain has begun: that is its last, too. */
static void a_client_that_has_only_connected(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, BRIEF);
	client = stage_client(&st);
	worker_drain(stage_worker(&st), DRAIN_RELIEVED);
	stage_say(&st, client, GET_10);
	server = stage_server(&st);
	stage_heard(&st, server, "GET / HTTP/1.1\r\n");
	stage_say(&st, server, OK);
	stage_hears_last(&st, client, LAST_OK, 1);
	finish(&st, client, server);
}

/* Its head is out, and has not said so: the client may have sent the next request. */
static void a_response_that_has_begun_is_not_the_last(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, BRIEF);
	client = stage_client(&st);
	stage_say(&st, client, GET_10);
	server = stage_server(&st);
	stage_heard(&st, server, "GET / HTTP/1.1\r\n");
	stage_say(&st, server, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 4\r\n\r\nab");
	stage_hears(&st, client,
		    "HTTP/1.1 200 OK\r\n" DATE
		    "Content-Length: 4\r\nConnection: keep-alive\r\n\r\nab");
	worker_drain(stage_worker(&st), DRAIN_RELIEVED);
	stage_say(&st, server, "cd");
	stage_hears(&st, client, "cd");
	/* Here the connections to servers are of no use any more. */
	stage_hears_last(&st, server, "", 1);
	leave(&st, server);
	stage_say(&st, client, GET);
	server = stage_server(&st);
	stage_hears(&st, server, GET);
	stage_say(&st, server, OK);
	stage_hears_last(&st, client, LAST_OK, 1);
	finish(&st, client, server);
}

/* The same at the end: nobody waits for a request that is not there. */
static void a_response_that_ends_after_the_end_has_begun(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, BRIEF);
	client = stage_client(&st);
	stage_say(&st, client, GET);
	server = stage_server(&st);
	stage_hears(&st, server, GET);
	stage_say(&st, server, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 4\r\n\r\nab");
	stage_hears(&st, client, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 4\r\n\r\nab");
	worker_drain(stage_worker(&st), DRAIN_LAST);
	stage_say(&st, server, "cd");
	stage_hears_last(&st, client, "cd", 1);
	finish(&st, client, server);
}

static void what_the_option_says(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, BRIEF "idle_close = now\n");
	client = stage_client(&st);
	server = server_of(&st, client);
	worker_drain(stage_worker(&st), DRAIN_RELIEVED);
	stage_hears_last(&st, client, "", 1);
	finish(&st, client, server);

	stage_begin(&st, BRIEF "idle_close = response\n");
	client = stage_client(&st);
	server = server_of(&st, client);
	worker_drain(stage_worker(&st), DRAIN_LAST);
	stage_hears(&st, client, "");
	served_once_more(&st, client, server);
	finish(&st, client, server);
}

/* It drains because of an upgrade, and then somebody waits for its end. */
static void an_end_after_an_upgrade(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, BRIEF);
	client = stage_client(&st);
	server = server_of(&st, client);
	worker_drain(stage_worker(&st), DRAIN_RELIEVED);
	stage_hears(&st, client, "");
	worker_drain(stage_worker(&st), DRAIN_LAST);
	stage_hears_last(&st, client, "", 1);
	/* It is not an upgrade again. */
	worker_drain(stage_worker(&st), DRAIN_RELIEVED);
	assert_int_equal(stage_worker(&st)->home.drain, DRAIN_LAST);
	finish(&st, client, server);
}

/* Clients come and go, and each response is the last on its connection; servers are not left. */
static void before_the_drain(void **state _unused_)
{
	struct stage st;
	int idle, busy, server;

	stage_begin(&st, BRIEF);
	idle = stage_client(&st);
	server = server_of(&st, idle);
	busy = stage_client(&st);
	stage_say(&st, busy, GET);
	stage_hears(&st, server, GET);
	worker_drain(stage_worker(&st), DRAIN_SOON);
	stage_say(&st, server, OK);
	stage_hears_last(&st, busy, LAST_OK, 1);
	leave(&st, busy);
	served_once_more(&st, idle, server);
	leave(&st, idle);
	idle = stage_client(&st);
	served_once_more(&st, idle, server);
	finish(&st, idle, server);
}

/* A request that comes in the moment in which its connection has been idle for long enough. */
static void a_request_at_the_last_moment(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, BRIEF);
	client = stage_client(&st);
	server = server_of(&st, client);
	assert_int_equal(send(client, GET, strlen(GET), MSG_NOSIGNAL), strlen(GET));
	stage_pass(&st, 5 * NSEC_PER_SEC);
	stage_hears(&st, server, GET);
	stage_say(&st, server, OK);
	stage_hears(&st, client, OK);
	/* Empty lines are none. */
	assert_int_equal(send(client, "\r\n", 2, MSG_NOSIGNAL), 2);
	stage_pass(&st, 5 * NSEC_PER_SEC);
	stage_hears_last(&st, client, "", 1);
	finish(&st, client, server);
}

/* What has come until its stream ended properly. */
static void hear_all(struct stage *st, int fd, char *text, size_t size)
{
	int end = stage_take(st, fd, text, 0, size);

	for (int waited = 0; !end && waited < STAGE_WAIT_MS; waited++) {
		(void)poll(NULL, 0, 1);
		end = stage_take(st, fd, text, strlen(text), size);
	}
	assert_int_equal(end, 1);
}

/*
 * The client has yet to be sent the end of a response, and sends a request meanwhile: if the socket
 * were closed, that would get a reset, and the end of the response would be lost.
 */
static void a_response_that_has_not_arrived(void **state _unused_)
{
	enum { BODY = 400000, ALL = BODY + 1000 }; /* more than a client takes that does not read */
	char *body = malloc(BODY + 1), *got = malloc(ALL), *text;
	struct session *s;
	struct stage st;
	int client, server;

	assert_non_null(body);
	assert_non_null(got);
	memset(body, 'x', BODY);
	body[BODY] = '\0';
	stage_begin(&st, BRIEF);
	client = stage_client(&st);
	server = server_of(&st, client);
	stage_say(&st, client, GET);
	stage_hears(&st, server, GET);
	stage_say(&st, server, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 400000\r\n\r\n");
	stage_say(&st, server, body);
	s = TAILQ_FIRST(&stage_worker(&st)->home.live);
	assert_int_equal(s->http->phase, HTTP_IDLE);
	worker_drain(stage_worker(&st), DRAIN_LAST);
	stage_settle(&st);
	assert_int_equal(s->http->phase, HTTP_LINGERING); /* the client has not taken all of it */
	stage_say(&st, client, GET);
	hear_all(&st, client, got, ALL);
	text = strstr(got, "\r\n\r\n");
	assert_non_null(text);
	assert_string_equal(text + 4, body);
	assert_false(stage_is_dialled(&st));
	finish(&st, client, server);
	free(body);
	free(got);
}

/* shutdown_grace is over: nothing of an idle one is cut off. */
static void idle_ones_end_without_a_reset(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, BRIEF);
	client = stage_client(&st);
	server = server_of(&st, client);
	worker_drain(stage_worker(&st), DRAIN_RELIEVED);
	worker_end_all(stage_worker(&st), END_SHUTDOWN);
	stage_hears_last(&st, client, "", 1);
	finish(&st, client, server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_end_closes_what_is_idle),
	    cmocka_unit_test(a_request_that_is_there_is_served),
	    cmocka_unit_test(an_upgrade_lets_idle_ones_be),
	    cmocka_unit_test(a_client_that_has_only_connected),
	    cmocka_unit_test(a_response_that_has_begun_is_not_the_last),
	    cmocka_unit_test(a_response_that_ends_after_the_end_has_begun),
	    cmocka_unit_test(what_the_option_says),
	    cmocka_unit_test(an_end_after_an_upgrade),
	    cmocka_unit_test(before_the_drain),
	    cmocka_unit_test(a_request_at_the_last_moment),
	    cmocka_unit_test(a_response_that_has_not_arrived),
	    cmocka_unit_test(idle_ones_end_without_a_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

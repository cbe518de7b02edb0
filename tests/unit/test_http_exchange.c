/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests and responses of HTTP connections, byte by byte, in turns that the test runs itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../daemon/http/exchange.h"
#include "stage.h"

#define DATE "Date: Thu, 26 Nov 2026 10:00:00 GMT\r\n"

#define GET_A              "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
#define GET_B              "GET /b HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK(body_len, body) "HTTP/1.1 200 OK\r\n" DATE "Content-Length: " body_len "\r\n\r\n" body

static struct session *only_session(struct stage *st)
{
	struct session *s = TAILQ_FIRST(&stage_worker(st)->home.live);

	assert_non_null(s);
	assert_null(TAILQ_NEXT(s, link));
	return s;
}

static const struct stats *stats(struct stage *st)
{
	return &stage_worker(st)->stats;
}

/* The one request that there was has ended so. */
static void assert_ended(struct stage *st, enum http_end end)
{
	for (int i = 0; i < _HTTP_END_MAX; i++)
		if (stats(st)->http_ends[i] != (i == (int)end))
			fail_msg("%s: %llu", http_end_str[i],
				 (unsigned long long)stats(st)->http_ends[i]);
}

/* A proxy's own response without its Date, which is the day's. */
static const char *without_date(const char *text)
{
	static char ret[8192];
	const char *date = strstr(text, "Date: "), *rest;

	assert_non_null(date);
	rest = strstr(date, "\r\n");
	assert_non_null(rest);
	(void)snprintf(ret, sizeof(ret), "%.*s%s", (int)(date - text), text, rest + 2);
	return ret;
}

static void assert_answer(struct stage *st, int fd, const char *status, const char *text)
{
	char want[512];

	(void)snprintf(want, sizeof(want),
		       "HTTP/1.1 %s\r\n"
		       "Content-Type: text/plain; charset=utf-8\r\n"
		       "Content-Length: %zu\r\n"
		       "Connection: close\r\n\r\n%s\n",
		       status, strlen(text) + 1, text);
	assert_string_equal(without_date(stage_heard_last(st, fd, 1)), want);
}

static void a_head_in_pieces_goes_on_as_one(void **state _unused_)
{
	static const char *const pieces[] = {"\r\nGE",
					     "T http://WWW.test/p?q HT",
					     "TP/1.0\r",
					     "\nHost: other\r\nConnec",
					     "tion: X-Hop, keep-alive\r\nX-Hop: 1\r\nX-On: ",
					     " 2 \r\nTE: trailers\r\n\r"};
	struct stage st;
	int client, server;

	stage_begin(&st, "protocol = http");
	client = stage_client(&st);
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		stage_say(&st, client, pieces[i]);
		assert_false(stage_is_dialled(&st));
		assert_string_equal(only_session(&st)->protocol->describe(only_session(&st)),
				    "http");
	}
	stage_say(&st, client, "\n");
	server = stage_server(&st);
	stage_hears(&st, server, "GET /p?q HTTP/1.1\r\nHost: WWW.test\r\nX-On: 2\r\n\r\n");
	stage_say(&st, server, OK("2", "ok"));
	stage_hears(&st, client,
		    "HTTP/1.1 200 OK\r\n" DATE
		    "Content-Length: 2\r\nConnection: keep-alive\r\n\r\nok");
	assert_ended(&st, HTTP_END_DONE);
	assert_int_equal(stats(&st)->http_responses[2], 1);
	assert_int_equal(close(client), 0);
	stage_settle(&st);
	assert_int_equal(stats(&st)->ends[END_DONE], 1);
	assert_int_equal(close(server), 0);
	stage_end(&st);
}

static void a_connection_is_used_again(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, "protocol = http");
	client = stage_client(&st);
	stage_say(&st, client, GET_A GET_B); /* the second waits for the first one's response */
	server = stage_server(&st);
	stage_hears(&st, server, GET_A);
	stage_say(&st, server, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 3\r\n\r\na");
	stage_hears(&st, client, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 3\r\n\r\na");
	stage_hears(&st, server, "");
	stage_say(&st, server, "bc");
	stage_hears(&st, client, "bc");
	stage_hears(&st, server, GET_B);
	assert_false(stage_is_dialled(&st));
	assert_int_equal(stats(&st)->backend_reused, 1);
	stage_say(&st, server, OK("0", ""));
	stage_hears(&st, client, OK("0", ""));
	assert_int_equal(stats(&st)->http_ends[HTTP_END_DONE], 2);
	/* Kept for a later request of anybody, not for longer than it may be. */
	stage_pass(&st, st.daemon.config->pools[0].keepalive_timeout);
	stage_hears_last(&st, server, "", 1);
	stage_pass(&st, st.daemon.config->listeners[0].keepalive_timeout);
	stage_hears_last(&st, client, "", 1);
	assert_int_equal(close(client), 0);
	stage_settle(&st);
	assert_int_equal(close(server), 0);
	stage_end(&st);
}

static void bodies_are_framed_anew(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, "protocol = http");
	client = stage_client(&st);
	stage_say(&st, client,
		  "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "0003 ; x=y\r\nab");
	server = stage_server(&st);
	stage_hears(&st, server,
		    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab");
	stage_say(&st, client, "c\r");
	stage_say(&st, client, "\n0\r\nX-Sum: 7\r\nContent-Length: 1\r\n\r\n");
	/* A trailer that frames is no trailer. */
	assert_ended(&st, HTTP_END_BAD_REQUEST);
	assert_int_equal(stats(&st)->http_errors[HTTP_BAD_TRAILER], 1);
	assert_answer(&st, client, "400 Bad Request", "The request is not valid HTTP.");
	stage_hears_last(&st, server, "c\r\n0\r\nX-Sum: 7\r\n", -ECONNRESET);
	assert_int_equal(close(client), 0);
	stage_settle(&st);
	assert_int_equal(close(server), 0);
	stage_end(&st);
}

static void a_client_waits_for_100(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, "protocol = http");
	client = stage_client(&st);
	stage_say(&st, client,
		  "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
	server = stage_server(&st);
	stage_hears(
	    &st, server,
	    "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
	stage_hears(&st, client, "");
	stage_say(&st, server, "HTTP/1.1 100 Continue\r\n\r\n");
	stage_hears(&st, client, "HTTP/1.1 100 Continue\r\n\r\n");
	stage_say(&st, client, "body");
	stage_hears(&st, server, "body");
	stage_say(&st, server, "HTTP/1.1 204 No Content\r\n" DATE "\r\n");
	stage_hears(&st, client, "HTTP/1.1 204 No Content\r\n" DATE "\r\n");
	assert_ended(&st, HTTP_END_DONE);
	assert_int_equal(stats(&st)->http_responses[1], 1);
	assert_int_equal(stats(&st)->http_responses[2], 1);
	assert_int_equal(close(client), 0);
	stage_settle(&st);
	assert_int_equal(close(server), 0);
	stage_end(&st);
}

/* A refusal instead of `continue`: the client may send the body, or not, so the connection ends. */
static void a_client_is_refused_instead_of_100(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, "protocol = http");
	client = stage_client(&st);
	stage_say(&st, client,
		  "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
	server = stage_server(&st);
	(void)stage_heard(&st, server, "\r\n\r\n");
	stage_say(&st, server, "HTTP/1.1 417 No\r\n" DATE "Content-Length: 1\r\n\r\nx");
	stage_hears_last(
	    &st, client,
	    "HTTP/1.1 417 No\r\n" DATE "Content-Length: 1\r\nConnection: close\r\n\r\nx", 1);
	assert_ended(&st, HTTP_END_DONE);
	assert_int_equal(close(client), 0);
	stage_settle(&st);
	assert_int_equal(close(server), 0);
	stage_end(&st);
}

static void a_server_ends_before_its_response(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, "protocol = http");
	client = stage_client(&st);
	stage_say(&st, client, GET_A);
	server = stage_server(&st);
	stage_hears(&st, server, GET_A);
	stage_say(&st, server, "HTTP/1.1 200");
	assert_int_equal(close(server), 0);
	assert_answer(&st, client, "502 Bad Gateway", "The server closed the connection.");
	assert_ended(&st, HTTP_END_SERVER_RESET);
	assert_int_equal(close(client), 0);
	stage_settle(&st);
	stage_end(&st);
}

static void a_server_ends_within_its_response(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, "protocol = http");
	client = stage_client(&st);
	stage_say(&st, client, GET_A);
	server = stage_server(&st);
	stage_hears(&st, server, GET_A);
	stage_say(&st, server, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 9\r\n\r\npart");
	assert_int_equal(shutdown(server, SHUT_WR), 0);
	/* What came of it is delivered before the client sees that it is cut. */
	stage_hears_last(&st, client, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 9\r\n\r\npart",
			 -ECONNRESET);
	assert_ended(&st, HTTP_END_SERVER_RESET);
	assert_int_equal(stats(&st)->ends[END_SERVER_RESET], 1);
	assert_int_equal(close(client), 0);
	assert_int_equal(close(server), 0);
	stage_end(&st);
}

static void a_body_may_last_until_the_end(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, "protocol = http");
	client = stage_client(&st);
	stage_say(&st, client, GET_A);
	server = stage_server(&st);
	stage_hears(&st, server, GET_A);
	stage_say(&st, server, "HTTP/1.0 200 OK\r\n" DATE "\r\nso ");
	stage_say(&st, server, "far");
	stage_hears(&st, client, "HTTP/1.1 200 OK\r\n" DATE "Connection: close\r\n\r\nso far");
	assert_int_equal(close(server), 0);
	stage_hears_last(&st, client, "", 1);
	assert_ended(&st, HTTP_END_DONE);
	assert_int_equal(close(client), 0);
	stage_settle(&st);
	stage_end(&st);
}

/* Of a kept connection that ends when the request comes, the server has read nothing. */
static void a_request_is_sent_again(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, "protocol = http");
	client = stage_client(&st);
	stage_say(&st, client, GET_A);
	server = stage_server(&st);
	stage_hears(&st, server, GET_A);
	stage_say(&st, server, OK("0", ""));
	stage_hears(&st, client, OK("0", ""));
	stage_say(&st, client, GET_B);
	stage_hears(&st, server, GET_B);
	assert_int_equal(close(server), 0);
	server = stage_server(&st);
	stage_hears(&st, server, GET_B);
	assert_int_equal(stats(&st)->retries, 1);
	stage_say(&st, server, OK("1", "b"));
	stage_hears(&st, client, OK("1", "b"));
	assert_int_equal(stats(&st)->http_ends[HTTP_END_DONE], 2);
	assert_int_equal(close(client), 0);
	stage_settle(&st);
	assert_int_equal(close(server), 0);
	stage_end(&st);
}

static void a_bad_head_is_answered(void **state _unused_)
{
	struct stage st;
	int client;

	stage_begin(&st, "protocol = http");
	client = stage_client(&st);
	stage_say(&st, client, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
	assert_answer(&st, client, "400 Bad Request", "The request is not valid HTTP.");
	assert_int_equal(stats(&st)->http_errors[HTTP_TWO_HOSTS], 1);
	assert_ended(&st, HTTP_END_BAD_REQUEST);
	/* It may go on sending for a while: a reset would take its answer from it. */
	stage_say(&st, client, "GET / HTTP/1.1\r\n");
	assert_int_equal(only_session(&st)->state, SESSION_LIVE);
	stage_pass(&st, 2 * NSEC_PER_SEC);
	assert_int_equal(stats(&st)->ends[END_DONE], 1);
	assert_int_equal(close(client), 0);
	stage_end(&st);
}

static void times_are_up(void **state _unused_)
{
	struct stage st;
	int client, server;

	stage_begin(&st, "protocol = http\nhead_timeout = 3s\nresponse_timeout = 5s\n"
			 "request_timeout = 4s");
	client = stage_client(&st);
	stage_say(&st, client, "GET / HT");
	stage_pass(&st, 3 * NSEC_PER_SEC - NSEC_PER_MSEC);
	stage_hears(&st, client, "");
	stage_pass(&st, NSEC_PER_MSEC);
	assert_answer(&st, client, "408 Request Timeout", "The request did not come in time.");
	assert_ended(&st, HTTP_END_HEAD_TIMEOUT);
	assert_int_equal(close(client), 0);
	stage_settle(&st);

	client = stage_client(&st);
	stage_say(&st, client, GET_A);
	server = stage_server(&st);
	stage_pass(&st, 5 * NSEC_PER_SEC - NSEC_PER_MSEC);
	stage_hears(&st, client, "");
	stage_pass(&st, NSEC_PER_MSEC);
	assert_answer(&st, client, "504 Gateway Timeout", "The server did not answer in time.");
	assert_int_equal(stats(&st)->http_ends[HTTP_END_RESPONSE_TIMEOUT], 1);
	assert_int_equal(close(client), 0);
	assert_int_equal(close(server), 0);
	stage_settle(&st);
	stage_end(&st);
}

/* So many that a client that does not read has no room for them. */
#define INTERIMS 40

static void answers_behind_interim_ones(void **state _unused_)
{
	static char fill[7000], interim[8000], got[INTERIMS * sizeof(interim)];
	int client, server, size = 4096, end = 0;
	size_t at = 0, n = 0;
	struct stage st;

	memset(fill, 'z', sizeof(fill) - 1);
	(void)snprintf(interim, sizeof(interim), "HTTP/1.1 103 Early Hints\r\nX-Fill: %s\r\n\r\n",
		       fill);
	stage_begin(&st, "protocol = http\nresponse_timeout = 5s");
	client = stage_client(&st);
	assert_int_equal(setsockopt(only_session(&st)->client_conn.fd, SOL_SOCKET, SO_SNDBUF, &size,
				    sizeof(size)),
			 0);
	stage_say(&st, client, GET_A);
	server = stage_server(&st);
	for (int i = 0; i < INTERIMS; i++)
		stage_say(&st, server, interim);
	assert_true(only_session(&st)->http->out[SIDE_CLIENT].len > 0);
	stage_pass(&st, 5 * NSEC_PER_SEC);
	assert_ended(&st, HTTP_END_RESPONSE_TIMEOUT);
	for (int i = 0; i < STAGE_WAIT_MS && !end; i++) {
		end = stage_take(&st, client, got, at, sizeof(got));
		at += strlen(got + at);
		if (!end)
			(void)poll(NULL, 0, 1);
	}
	assert_int_equal(end, 1);
	while (strncmp(got + n, interim, strlen(interim)) == 0)
		n += strlen(interim);
	assert_true(n > 0);
	assert_int_equal(strncmp(got + n, "HTTP/1.1 504 Gateway Timeout\r\n", 30), 0);
	assert_non_null(strstr(got + n, "\r\n\r\nThe server did not answer in time.\n"));
	assert_int_equal(close(client), 0);
	stage_settle(&st);
	assert_int_equal(close(server), 0);
	stage_end(&st);
}

static const char switched[] =
    "HTTP/1.1 101 Switching Protocols\r\n" DATE "Connection: upgrade\r\nUpgrade: x\r\n\r\n";

static void ask_for_upgrade(struct stage *st, int *client, int *server)
{
	stage_begin(st, "protocol = http");
	*client = stage_client(st);
	stage_say(st, *client,
		  "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
	*server = stage_server(st);
	(void)stage_heard(st, *server, "Upgrade: x\r\n");
}

static void an_upgrade_is_a_tunnel(void **state _unused_)
{
	struct session *s;
	struct stage st;
	int client, server;

	ask_for_upgrade(&st, &client, &server);
	stage_say(&st, server, switched);
	stage_say(&st, server, "GET is no request here");
	(void)stage_heard(&st, client, "\r\n\r\nGET is no request here");
	s = only_session(&st);
	assert_string_equal(s->protocol->describe(s), "open");
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	stage_hears_last(&st, server, "", 1);
	assert_string_equal(s->protocol->describe(s), "half_closed");
	stage_say(&st, server, "bye");
	assert_int_equal(close(server), 0);
	stage_hears_last(&st, client, "bye", 1);
	assert_ended(&st, HTTP_END_DONE);
	assert_int_equal(close(client), 0);
	stage_end(&st);
}

/* What it says before its reset is delivered; then that is how the tunnel ends. */
static void a_tunnel_whose_server_has_failed(void **state _unused_)
{
	const struct linger reset = {.l_onoff = 1};
	struct stage st;
	int client, server;

	ask_for_upgrade(&st, &client, &server);
	assert_int_equal(setsockopt(server, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	assert_int_equal(send(server, switched, strlen(switched), 0), strlen(switched));
	assert_int_equal(close(server), 0);
	stage_settle(&st);
	assert_non_null(strstr(stage_heard_last(&st, client, -ECONNRESET), " 101 Switching"));
	assert_ended(&st, HTTP_END_SERVER_RESET);
	assert_int_equal(stats(&st)->ends[END_SERVER_RESET], 1);
	assert_int_equal(close(client), 0);
	stage_end(&st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_head_in_pieces_goes_on_as_one),
	    cmocka_unit_test(a_connection_is_used_again),
	    cmocka_unit_test(bodies_are_framed_anew),
	    cmocka_unit_test(a_client_waits_for_100),
	    cmocka_unit_test(a_client_is_refused_instead_of_100),
	    cmocka_unit_test(a_server_ends_before_its_response),
	    cmocka_unit_test(a_server_ends_within_its_response),
	    cmocka_unit_test(a_body_may_last_until_the_end),
	    cmocka_unit_test(a_request_is_sent_again),
	    cmocka_unit_test(a_bad_head_is_answered),
	    cmocka_unit_test(times_are_up),
	    cmocka_unit_test(answers_behind_interim_ones),
	    cmocka_unit_test(an_upgrade_is_a_tunnel),
	    cmocka_unit_test(a_tunnel_whose_server_has_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

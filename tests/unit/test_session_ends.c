/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How sessions end: what the log says of a socket that failed, and when the sockets are closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stage.h"

static void of_a_peer(void **state _unused_)
{
	static const int resets[] = {ECONNRESET, ECONNABORTED, EPIPE, ECONNREFUSED};
	static const int losses[] = {ETIMEDOUT,   EHOSTUNREACH, EHOSTDOWN,
				     ENETUNREACH, ENETDOWN,     ENETRESET};

	for (size_t i = 0; i < ARRAY_SIZE(resets); i++) {
		assert_int_equal(session_end_by(SIDE_CLIENT, resets[i]), END_CLIENT_RESET);
		assert_int_equal(session_end_by(SIDE_BACKEND, resets[i]), END_SERVER_RESET);
	}
	for (size_t i = 0; i < ARRAY_SIZE(losses); i++) {
		assert_int_equal(session_end_by(SIDE_CLIENT, losses[i]), END_CLIENT_LOST);
		assert_int_equal(session_end_by(SIDE_BACKEND, losses[i]), END_SERVER_LOST);
	}
}

static void of_the_daemon(void **state _unused_)
{
	assert_int_equal(session_end_by(SIDE_CLIENT, ENOMEM), END_LIMIT);
	assert_int_equal(session_end_by(SIDE_BACKEND, ENOBUFS), END_LIMIT);
	assert_int_equal(session_end_by(SIDE_CLIENT, EINVAL), END_ERROR);
}

static const uint64_t *ends(struct stage *st)
{
	return stage_worker(st)->stats.ends;
}

static struct session *begin_tcp(struct stage *st, const char *options, int *client, int *server)
{
	struct session *s;

	stage_begin(st, options);
	*client = stage_client(st);
	s = TAILQ_FIRST(&stage_worker(st)->home.live);
	assert_non_null(s);
	*server = stage_server(st);
	assert_string_equal(s->protocol->describe(s), "open");
	return s;
}

static void an_end_is_a_mark(void **state _unused_)
{
	struct session *s;
	struct stage st;
	int client, server;

	s = begin_tcp(&st, "", &client, &server);
	stage_say(&st, client, "hello");
	stage_hears(&st, server, "hello");
	session_end(s, END_SHUTDOWN);
	session_end(s, END_ERROR); /* the first one counts */
	assert_int_equal(s->state, SESSION_ENDED);
	assert_true(s->conns[SIDE_CLIENT]->fd >= 0 && s->conns[SIDE_BACKEND]->fd >= 0);
	assert_int_equal(ends(&st)[END_SHUTDOWN], 0);
	/* Whoever is at work with it may go on. */
	session_arm(s, 0);
	session_fail(s, s->conns[SIDE_CLIENT], ECONNRESET);
	stream_again(&s->streams[UP]);
	assert_false(s->conns[SIDE_CLIENT]->failed);
	assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), 1);

	stage_settle(&st);
	assert_int_equal(ends(&st)[END_SHUTDOWN], 1);
	assert_int_equal(ends(&st)[END_ERROR], 0);
	assert_int_equal(stage_worker(&st)->stats.bytes_copied, 5);
	stage_hears_last(&st, client, "", -ECONNRESET);
	stage_hears_last(&st, server, "", -ECONNRESET);
	assert_int_equal(close(client), 0);
	assert_int_equal(close(server), 0);
	stage_end(&st);
}

static void both_streams_end(void **state _unused_)
{
	struct session *s;
	struct stage st;
	int client, server;

	s = begin_tcp(&st, "", &client, &server);
	stage_say(&st, client, "ask");
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	stage_hears_last(&st, server, "ask", 1);
	assert_string_equal(s->protocol->describe(s), "half_closed");
	stage_say(&st, server, "answer");
	stage_hears(&st, client, "answer");
	assert_int_equal(close(server), 0);
	stage_hears_last(&st, client, "", 1);
	assert_int_equal(ends(&st)[END_DONE], 1);
	assert_int_equal(close(client), 0);
	stage_end(&st);
}

static void silence_ends(void **state _unused_)
{
	struct stage st;
	int client, server;

	(void)begin_tcp(&st, "idle_timeout = 10s\nhalf_close_timeout = 4s", &client, &server);
	stage_pass(&st, 9 * NSEC_PER_SEC);
	stage_say(&st, client, "x");
	stage_hears(&st, server, "x");
	stage_pass(&st, 9 * NSEC_PER_SEC);
	stage_hears(&st, client, "");
	assert_int_equal(shutdown(server, SHUT_WR), 0);
	/* From when it has come: on a busy machine that is later. */
	stage_hears_last(&st, client, "", 1);
	stage_pass(&st, 3 * NSEC_PER_SEC);
	assert_int_equal(ends(&st)[END_HALF_CLOSE_TIMEOUT], 0);
	stage_pass(&st, 3 * NSEC_PER_SEC);
	assert_int_equal(ends(&st)[END_HALF_CLOSE_TIMEOUT], 1);
	stage_hears_last(&st, server, "", -ECONNRESET);
	assert_int_equal(close(client), 0);
	assert_int_equal(close(server), 0);
	stage_end(&st);
}

/* The peer that is still there gets what the other one had sent before it failed. */
static void a_reset_comes_last(void **state _unused_)
{
	struct stage st;
	int client, server;

	(void)begin_tcp(&st, "", &client, &server);
	assert_int_equal(send(server, "last words", 10, MSG_NOSIGNAL), 10);
	stage_reset(server);
	stage_hears_last(&st, client, "last words", -ECONNRESET);
	assert_int_equal(ends(&st)[END_SERVER_RESET], 1);
	assert_int_equal(close(client), 0);
	stage_end(&st);
}

/* More than a client's TCP takes as long as it does not read. */
#define ANSWER 400000

static void answer(int server)
{
	static char text[ANSWER];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 2654435761U >> 24);
	assert_int_equal(send(server, text, sizeof(text), MSG_NOSIGNAL), sizeof(text));
}

/* How the client's stream ends behind the answer; it has all of that. */
static int end_behind_answer(struct stage *st, int client)
{
	static char text[ANSWER + 1];
	size_t len = 0;
	ssize_t n = 1;

	for (int waited = 0; waited < STAGE_WAIT_MS && n; waited += n < 0) {
		n = recv(client, text + len, sizeof(text) - len, MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n > 0)
			len += (size_t)n;
		if (n < 0)
			(void)poll(NULL, 0, 1);
		stage_settle(st);
	}
	assert_int_equal(len, ANSWER);
	for (size_t i = 0; i < len; i++)
		if (text[i] != (char)(i * 2654435761U >> 24))
			fail_msg("byte %zu is wrong", i);
	return n;
}

/* A server has ended its stream before its reset, and the end was passed on: what of that the
 * client's TCP has not got yet is waited for, for the client may send something at any time. */
static void a_reset_comes_behind_an_end(void **state _unused_)
{
	struct session *s;
	struct stage st;
	int client, server;

	s = begin_tcp(&st, "", &client, &server);
	answer(server);
	assert_int_equal(shutdown(server, SHUT_WR), 0);
	for (int i = 0; i < STAGE_WAIT_MS && s->streams[DOWN].state != STREAM_DONE; i++)
		(void)stage_turn(&st, 1);
	assert_string_equal(s->protocol->describe(s), "half_closed");
	stage_reset(server);
	stage_settle(&st);
	assert_int_equal(ends(&st)[END_SERVER_RESET], 0);
	stage_say(&st, client, "more");
	assert_int_equal(end_behind_answer(&st, client), 0);
	stage_pass(&st, NSEC_PER_SEC);
	assert_int_equal(ends(&st)[END_SERVER_RESET], 1);
	assert_int_equal(close(client), 0);
	stage_end(&st);
}

/* Not for ever. */
static void a_client_that_takes_no_answer(void **state _unused_)
{
	struct session *s;
	struct stage st;
	int client, server;

	s = begin_tcp(&st, "", &client, &server);
	answer(server);
	assert_int_equal(shutdown(server, SHUT_WR), 0);
	for (int i = 0; i < STAGE_WAIT_MS && s->streams[DOWN].state != STREAM_DONE; i++)
		(void)stage_turn(&st, 1);
	stage_reset(server);
	stage_settle(&st);
	stage_pass(&st, 2 * NSEC_PER_SEC - NSEC_PER_MSEC);
	assert_int_equal(ends(&st)[END_SERVER_RESET], 0);
	stage_pass(&st, NSEC_PER_MSEC);
	assert_int_equal(ends(&st)[END_SERVER_RESET], 1);
	assert_int_equal(close(client), 0);
	stage_end(&st);
}

/* Also when the worker hears of the connection and of its reset at once. */
static void a_reset_is_one_before_anything(void **state _unused_)
{
	struct pollfd p = {.events = POLLIN};
	struct stage st;
	int client, server;

	stage_begin(&st, "");
	client = stage_client(&st);
	p.fd = st.server;
	assert_int_equal(poll(&p, 1, STAGE_WAIT_MS), 1);
	server = accept4(st.server, NULL, NULL, SOCK_CLOEXEC);
	assert_true(server >= 0);
	assert_int_equal(send(server, "last words", 10, MSG_NOSIGNAL), 10);
	stage_reset(server);
	stage_hears_last(&st, client, "last words", -ECONNRESET);
	assert_int_equal(ends(&st)[END_SERVER_RESET], 1);
	assert_int_equal(close(client), 0);
	stage_end(&st);
}

/* One that comes before the session begins ends it, and is no end of the client's stream. */
static void a_client_that_is_gone(void **state _unused_)
{
	struct stage st;

	stage_begin(&st, "");
	stage_reset(stage_connect(&st));
	stage_accept(&st);
	stage_settle(&st);
	assert_int_equal(ends(&st)[END_CLIENT_RESET], 1);
	stage_end(&st);
}

static void who_says_nothing_is_closed(void **state _unused_)
{
	struct session *s;
	struct stage st;
	int client;

	stage_begin(&st, "protocol = tls\nsniff_timeout = 3s");
	client = stage_client(&st);
	s = TAILQ_FIRST(&stage_worker(&st)->home.live);
	assert_string_equal(s->protocol->describe(s), "sniffing");
	assert_int_equal(stage_worker(&st)->home.n_sniffing, 1);
	stage_pass(&st, 2 * NSEC_PER_SEC);
	stage_hears(&st, client, "");
	stage_pass(&st, NSEC_PER_SEC);
	stage_hears_last(&st, client, "", 1);
	assert_int_equal(ends(&st)[END_SNIFF_TIMEOUT], 1);
	assert_int_equal(stage_worker(&st)->home.n_sniffing, 0);
	assert_int_equal(close(client), 0);
	stage_end(&st);
}

/* A worker that was not there for the whole time gives some more, once. */
static void a_late_worker_waits_a_little(void **state _unused_)
{
	const uint64_t late = 400 * NSEC_PER_MSEC;
	struct loop *loop;
	struct stage st;
	int client;

	stage_begin(&st, "protocol = tls\nsniff_timeout = 3s");
	client = stage_client(&st);
	loop = &stage_worker(&st)->loop;
	loop->now += 3 * NSEC_PER_SEC + late;
	(void)timers_fire(&loop->timers, loop->now);
	stage_hears(&st, client, "");
	stage_pass(&st, late / 2);
	stage_hears(&st, client, "");
	stage_pass(&st, late / 2);
	stage_hears_last(&st, client, "", 1);
	assert_int_equal(ends(&st)[END_SNIFF_TIMEOUT], 1);
	assert_int_equal(close(client), 0);
	stage_end(&st);
}

static void no_server_is_an_end(void **state _unused_)
{
	struct stage st;
	int client;

	stage_begin(&st, "");
	assert_int_equal(shutdown(st.server, SHUT_RD), 0); /* it listens no more */
	client = stage_client(&st);
	stage_hears_last(&st, client, "", -ECONNRESET);
	assert_int_equal(ends(&st)[END_CONNECT_FAILED], 1);
	assert_int_equal(close(client), 0);
	stage_end(&st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(of_a_peer),
	    cmocka_unit_test(of_the_daemon),
	    cmocka_unit_test(an_end_is_a_mark),
	    cmocka_unit_test(both_streams_end),
	    cmocka_unit_test(silence_ends),
	    cmocka_unit_test(a_reset_comes_last),
	    cmocka_unit_test(a_reset_comes_behind_an_end),
	    cmocka_unit_test(a_client_that_takes_no_answer),
	    cmocka_unit_test(a_reset_is_one_before_anything),
	    cmocka_unit_test(a_client_that_is_gone),
	    cmocka_unit_test(who_says_nothing_is_closed),
	    cmocka_unit_test(a_late_worker_waits_a_little),
	    cmocka_unit_test(no_server_is_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

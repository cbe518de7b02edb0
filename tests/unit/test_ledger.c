/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is counted as moved against what TCP has taken; and which events and buffers are whose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../daemon/conn.h"
#include "../../daemon/ledger.h"
#include "../../daemon/splice/lane.h"
#include "../../daemon/splice/stream.h"
#include "../../daemon/util.h"

#define BYTES 100000

/* Two ends of a TCP connection: the one that connected, and the one that was accepted. */
static void tcp_pair(struct conn ends[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	ends[0] =
	    (struct conn){.fd = socket(AF_INET, SOCK_STREAM, 0), .side = SIDE_BACKEND, .tcp = true};
	assert_int_equal(connect(ends[0].fd, (struct sockaddr *)&a, len), 0);
	ends[1] =
	    (struct conn){.fd = accept(listener, NULL, NULL), .side = SIDE_CLIENT, .tcp = true};
	assert_true(ends[1].fd >= 0);
	(void)close(listener);
}

static void write_to(struct conn *c)
{
	static char data[BYTES];

	assert_int_equal(send(c->fd, data, sizeof(data), MSG_NOSIGNAL), BYTES);
	c->sent += BYTES;
}

static void read_from(const struct conn *c)
{
	static char data[BYTES];

	assert_int_equal(recv(c->fd, data, sizeof(data), MSG_WAITALL), BYTES);
}

static uint64_t taken(const struct conn *c)
{
	uint64_t n = UINT64_MAX;

	assert_true(conn_taken(c, &n));
	return n;
}

/* To the byte on both ends, before and behind acknowledgements, and behind the FIN. */
static void test_taken(void **state _unused_)
{
	struct conn ends[2];

	tcp_pair(ends);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(taken(&ends[i]), 0);
		write_to(&ends[i]);
		assert_int_equal(taken(&ends[i]), BYTES);
		read_from(&ends[!i]);
		assert_int_equal(taken(&ends[i]), BYTES);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(conn_end_output(&ends[i]), 0);
		assert_int_equal(taken(&ends[i]), BYTES);
	}
	for (int i = 0; i < 2; i++)
		conn_close(&ends[i], false);
}

static void test_taken_by_unix_socket(void **state _unused_)
{
	struct conn c = {.sent = 5};
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	c.fd = fds[0];
	assert_int_equal(taken(&c), 5);
	conn_claim(&c, 5);
	conn_close(&c, false);
	(void)close(fds[1]);
}

/* How a process ends that closes a connection of which so many bytes were claimed. */
static int close_with_claim(uint64_t claim, bool reset)
{
	struct conn ends[2];
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)signal(SIGABRT, SIG_DFL);
		ledger_check_bytes();
		tcp_pair(ends);
		write_to(&ends[0]);
		conn_claim(&ends[0], claim);
		conn_claim(&ends[0], 1); /* less than before: no matter */
		conn_close(&ends[0], reset);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_close(void **state _unused_)
{
	for (int reset = 0; reset < 2; reset++) {
		int status = close_with_claim(BYTES, reset);

		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		status = close_with_claim(BYTES + 1, reset);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

/* What a closed lane's event says is about nobody, whatever the lane says meanwhile. */
static void test_events(void **state _unused_)
{
	struct lane lane = {.generation = 7, .worker = 1};
	struct lane_event event = {.generation = 7};

	assert_true(lane_event_is_due(&lane, &event, 1));
	assert_false(lane_event_is_due(&lane, &event, 0));
	event.generation = 6;
	assert_false(lane_event_is_due(&lane, &event, 1));
	event.generation = lane.generation = 0;
	assert_false(lane_event_is_due(&lane, &event, 1));
}

/* An empty buffer that a read left behind is used, not forgotten: a build with sanitizers tells. */
static void test_buffer_left_by_a_read(void **state _unused_)
{
	struct stream s = {0};

	assert_int_equal(stream_room(&s, 1000), 0);
	assert_int_equal(stream_keep(&s, "abc", 3), 0);
	assert_int_equal(stream_keep(&s, "de", 2), 0);
	assert_int_equal(s.pending_len, 5);
	assert_memory_equal(s.pending + s.pending_at, "abcde", 5);
	stream_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_taken),
	    cmocka_unit_test(test_taken_by_unix_socket),
	    cmocka_unit_test(test_close),
	    cmocka_unit_test(test_events),
	    cmocka_unit_test(test_buffer_left_by_a_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

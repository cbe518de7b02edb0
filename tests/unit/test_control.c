/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: requests, answers, limits, and its file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "../../daemon/log.h"
#include "../../daemon/report/control.h"
#include "../../daemon/util.h"

#define DEADLINE_NS (20 * NSEC_PER_SEC)
#define BIG         200000

struct fixture {
	char dir[32];
	char path[64];
	struct event_base *base;
	struct control *control;
	struct control_request *later; /* what the command "later" left unanswered */
};

/* ---- the daemon's side ---- */

static void run_args(struct control_request *req, int argc, char **argv, void *arg _unused_)
{
	json_t *list = json_array();

	for (int i = 0; i < argc; i++)
		assert_int_equal(json_array_append_new(list, json_string(argv[i])), 0);
	assert_null(argv[argc]);
	control_reply(req, list);
}

static void run_later(struct control_request *req, int argc _unused_, char **argv _unused_,
		      void *arg)
{
	struct fixture *f = arg;

	f->later = req;
}

static void run_big(struct control_request *req, int argc _unused_, char **argv _unused_,
		    void *arg _unused_)
{
	json_t *list = json_array();

	for (int i = 0; i < BIG; i++)
		assert_int_equal(json_array_append_new(list, json_integer(i)), 0);
	control_reply(req, list);
}

static void run_fail(struct control_request *req, int argc _unused_, char **argv _unused_,
		     void *arg _unused_)
{
	control_reply_error(req, "%s is \"\xff\" wrong", "this");
}

static const struct control_command commands[] = {
    {"args", 8, run_args}, {"later", 0, run_later}, {"big", 0, run_big},
    {"fail", 0, run_fail}, {NULL, 0, NULL},
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	(void)signal(SIGPIPE, SIG_IGN);
	log_setup(LOG_TO_STDERR, LOG_LVL_INFO);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_control.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof(f->path), "%s/control.sock", f->dir);
	f->base = event_base_new();
	assert_int_equal(
	    control_open(f->base, NULL, f->path, (uid_t)-1, (gid_t)-1, commands, f, &f->control),
	    0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	control_close(f->control);
	assert_int_equal(lstat(f->path, &st), -1);
	assert_int_equal(rmdir(f->dir), 0);
	/* Bufferevents are freed by the loop, a turn after they are given up. */
	(void)event_base_loop(f->base, EVLOOP_NONBLOCK);
	event_base_free(f->base);
	free(f);
	return 0;
}

/* ---- the client's side: one thread, so the loop is turned while waiting ---- */

static int dial_path(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

static void put(int fd, const char *data, size_t len)
{
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

static void turn(struct fixture *f, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	(void)event_base_loop(f->base, EVLOOP_NONBLOCK);
	(void)poll(&p, 1, 1);
}

/* Everything up to the end of the stream; the caller frees it. Closes fd. */
static char *drain(struct fixture *f, int fd)
{
	uint64_t deadline = now_ns() + DEADLINE_NS;
	size_t size = 4 << 20;
	char *buf = calloc(1, size);
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, buf + len, size - len - 1, 0)) != 0) {
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			assert_true(now_ns() < deadline);
			turn(f, fd);
			continue;
		}
		len += (size_t)n;
	}
	(void)close(fd);
	return buf;
}

static void assert_answer(struct fixture *f, int fd, const char *want)
{
	char *got = drain(f, fd);

	assert_string_equal(got, want);
	free(got);
}

static void assert_ask(struct fixture *f, const char *line, const char *want)
{
	int fd = dial_path(f->path);

	put(fd, line, strlen(line));
	assert_answer(f, fd, want);
}

/* ---- tests ---- */

static void test_requests(void **state)
{
	struct fixture *f = *state;

	assert_ask(f, "args\n", "[\"args\"]\n");
	assert_ask(f, "args one two\n", "[\"args\",\"one\",\"two\"]\n");
	assert_ask(f, "args one\r\n", "[\"args\",\"one\"]\n");
	assert_ask(f, "args one\nargs two\n", "[\"args\",\"one\"]\n");
	assert_ask(f, "fail\n", "{\"error\":\"this is \\\"?\\\" wrong\"}\n");
	assert_ask(f, "nothing\n", "{\"error\":\"unknown command \\\"nothing\\\"\"}\n");
	assert_ask(f, "fail now\n", "{\"error\":\"fail: too many arguments: \\\"now\\\"\"}\n");
}

static void test_bad_lines(void **state)
{
	static const char spaces[] = "{\"error\":\"expected a command and its arguments, with one "
				     "space between them\"}\n";
	static const char too_long[] = "{\"error\":\"the line is longer than 4096 bytes\"}\n";
	struct fixture *f = *state;
	char line[8192];
	char *got;
	int fd;

	assert_ask(f, "\n", spaces);
	assert_ask(f, "args  one\n", spaces);
	assert_ask(f, " args\n", spaces);
	assert_ask(f, "args \n", spaces);

	fd = dial_path(f->path);
	put(fd, "ar\0gs\n", 6);
	assert_answer(f, fd, "{\"error\":\"the line has a NUL byte\"}\n");

	/* Too long, with an end and without one; and the longest that fits. */
	memset(line, 'x', sizeof(line));
	line[4097] = '\n';
	fd = dial_path(f->path);
	put(fd, line, 4098);
	assert_answer(f, fd, too_long);
	line[4097] = 'x';
	fd = dial_path(f->path);
	put(fd, line, sizeof(line));
	/* What is unread resets the stream once it is closed: read before that. */
	got = calloc(1, sizeof(line));
	while (recv(fd, got, sizeof(line), 0) < 0 && errno == EAGAIN)
		turn(f, fd);
	assert_string_equal(got, too_long);
	free(got);
	(void)close(fd);
	memcpy(line, "args ", 5);
	line[4096] = '\n';
	fd = dial_path(f->path);
	put(fd, line, 4097);
	got = drain(f, fd);
	assert_int_equal(strlen(got), strlen("[\"args\",\"\"]\n") + 4091);
	free(got);
}

static void test_pieces_and_half_close(void **state)
{
	struct fixture *f = *state;
	int fd = dial_path(f->path);

	for (const char *p = "args slow\n"; *p; p++) {
		put(fd, p, 1);
		turn(f, fd);
	}
	assert_answer(f, fd, "[\"args\",\"slow\"]\n");

	/* Half-closed with a line end, and without one. */
	for (int i = 0; i < 2; i++) {
		fd = dial_path(f->path);
		put(fd, "args x\n", i ? 7 : 6);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		assert_answer(f, fd, "[\"args\",\"x\"]\n");
	}
	/* Nothing at all: no answer. */
	fd = dial_path(f->path);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_answer(f, fd, "");
}

static void test_big(void **state)
{
	struct fixture *f = *state;
	int fd = dial_path(f->path);
	json_error_t error;
	json_t *list;
	char *got;

	put(fd, "big\n", 4);
	got = drain(f, fd);
	list = json_loads(got, 0, &error);
	assert_non_null(list);
	assert_int_equal(json_array_size(list), BIG);
	assert_int_equal(json_integer_value(json_array_get(list, BIG - 1)), BIG - 1);
	json_decref(list);
	free(got);
}

static void wait_later(struct fixture *f, int fd)
{
	uint64_t deadline = now_ns() + DEADLINE_NS;

	f->later = NULL;
	put(fd, "later\n", 6);
	while (!f->later) {
		assert_true(now_ns() < deadline);
		turn(f, -1);
	}
}

static void test_later(void **state)
{
	struct fixture *f = *state;
	int fd = dial_path(f->path);

	wait_later(f, fd);
	assert_ask(f, "args\n", "[\"args\"]\n"); /* others are served meanwhile */
	control_reply(f->later, json_true());
	assert_answer(f, fd, "true\n");

	/* A client that has gone away before its answer. */
	fd = dial_path(f->path);
	wait_later(f, fd);
	(void)close(fd);
	turn(f, -1);
	control_reply(f->later, json_string("to nobody"));
	assert_ask(f, "args\n", "[\"args\"]\n");
}

/* A command that answers after the control has been closed. */
static void test_close_while_running(void **state)
{
	struct fixture *f = *state;
	int waiting = dial_path(f->path);
	int idle = dial_path(f->path);

	put(idle, "args", 4);
	wait_later(f, waiting);
	control_close(f->control);
	f->control = NULL;
	assert_answer(f, waiting, "");
	(void)close(idle);
	control_reply(f->later, json_array());
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct pollfd never_reads = {.events = 0};
	int fds[64];
	uint64_t start;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = dial_path(f->path);
		turn(f, -1);
	}
	assert_answer(f, dial_path(f->path), "{\"error\": \"too many clients at once\"}\n");

	put(fds[0], "args\n", 5);
	assert_answer(f, fds[0], "[\"args\"]\n");
	fds[0] = dial_path(f->path);
	put(fds[0], "args\n", 5);
	assert_answer(f, fds[0], "[\"args\"]\n");

	/*
	 * The others never send a whole line, and one never takes its answer: they are closed in
	 * time, and their places are free again.
	 */
	put(fds[1], "ar", 2);
	put(fds[2], "big\n", 4);
	start = now_ns();
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		if (i != 2)
			assert_answer(f, fds[i], "");
	do {
		assert_true(now_ns() - start < 15 * NSEC_PER_SEC);
		turn(f, -1);
		never_reads.fd = fds[2];
		(void)poll(&never_reads, 1, 0);
	} while (!(never_reads.revents & POLLHUP));
	assert_true(now_ns() - start > 5 * NSEC_PER_SEC);
	(void)close(fds[2]);
	assert_ask(f, "args\n", "[\"args\"]\n");
}

static void test_file(void **state)
{
	struct fixture *f = *state;
	struct control *second = NULL;
	struct stat st;
	char path[128];
	int fd;

	assert_int_equal(lstat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);

	/* Somebody answers there. */
	assert_int_equal(
	    control_open(f->base, NULL, f->path, (uid_t)-1, (gid_t)-1, commands, f, &second),
	    -EADDRINUSE);
	assert_ask(f, "args\n", "[\"args\"]\n");

	/* A socket that nobody listens on any more is replaced, whatever the umask. */
	(void)snprintf(path, sizeof(path), "%s/stale.sock", f->dir);
	{
		struct sockaddr_un un = {.sun_family = AF_UNIX};

		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		(void)memcpy(un.sun_path, path, strlen(path) + 1);
		assert_int_equal(bind(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
		(void)close(fd);
	}
	(void)umask(0077);
	assert_int_equal(
	    control_open(f->base, NULL, path, (uid_t)-1, (gid_t)-1, commands, f, &second), 0);
	(void)umask(0022);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);

	/* A file that took the path's place is not removed at the end. */
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	(void)close(fd);
	control_close(second);
	assert_int_equal(lstat(path, &st), 0);

	/* And no file that is not a socket is replaced. */
	assert_int_equal(
	    control_open(f->base, NULL, path, (uid_t)-1, (gid_t)-1, commands, f, &second),
	    -ENOTSOCK);
	assert_int_equal(unlink(path), 0);

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(
	    control_open(f->base, NULL, path, (uid_t)-1, (gid_t)-1, commands, f, &second),
	    -ENAMETOOLONG);
	assert_int_equal(
	    control_open(f->base, NULL, "/no/such/dir", (uid_t)-1, (gid_t)-1, commands, f, &second),
	    -ENOENT);
	control_close(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_requests), TEST(test_bad_lines), TEST(test_pieces_and_half_close),
	    TEST(test_big),      TEST(test_later),     TEST(test_close_while_running),
	    TEST(test_limits),   TEST(test_file),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}

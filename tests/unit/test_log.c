/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log: what a line looks like on stderr and in the journal, and what a peer cannot forge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <regex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "../../daemon/log.h"
#include "../../daemon/log/journal.h"

#define DEADLINE_MS 5000

/* stderr is a pipe while lines are caught; cmocka's own output needs the real one. */
static int real_stderr = -1;
static int catch_fd = -1;

static void catch_start(void)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	real_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	assert_true(real_stderr >= 0);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	(void)close(fds[1]);
	catch_fd = fds[0];
}

/* Everything that was written since catch_start(). */
static void catch_stop(char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;

	assert_int_equal(dup2(real_stderr, STDERR_FILENO), STDERR_FILENO);
	(void)close(real_stderr);
	while (len + 1 < size && (n = read(catch_fd, buf + len, size - len - 1)) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	(void)close(catch_fd);
}

static void assert_matches(const char *text, const char *pattern)
{
	regex_t re;
	int r;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	r = regexec(&re, text, 0, NULL, 0);
	regfree(&re);
	if (r != 0)
		fail_msg("\"%s\" does not match %s", text, pattern);
}

#define TIME_RE "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z"

static void test_lines(void **state _unused_)
{
	char buf[4096];

	log_setup(LOG_TO_STDERR, LOG_LVL_DEBUG);
	catch_start();
	log_error("one %d", 1);
	log_warn("two");
	log_info("three");
	log_debug("four");
	catch_stop(buf, sizeof(buf));
	assert_matches(buf, "^" TIME_RE " error one 1\n" TIME_RE " warning two\n" TIME_RE
			    " info three\n" TIME_RE " debug four\n$");
}

/* Without the last newline, and with empty ones. */
static void test_text_of_lines(void **state _unused_)
{
	char buf[4096];

	log_setup(LOG_TO_STDERR, LOG_LVL_DEBUG);
	catch_start();
	log_lines(LOG_LVL_WARNING, "", "");
	log_lines(LOG_LVL_ERROR, "it said: ", "one %s\n\ntwo\nthree");
	log_lines(LOG_LVL_WARNING, "", "four\n");
	catch_stop(buf, sizeof(buf));
	assert_matches(buf, "^" TIME_RE " error it said: one %s\n" TIME_RE
			    " error it said: two\n" TIME_RE " error it said: three\n" TIME_RE
			    " warning four\n$");
}

static void test_levels(void **state _unused_)
{
	struct access_entry e;
	char buf[4096];

	log_setup(LOG_TO_STDERR, LOG_LVL_WARNING);
	assert_true(log_enabled(LOG_LVL_ERROR));
	assert_true(log_enabled(LOG_LVL_WARNING));
	assert_false(log_enabled(LOG_LVL_INFO));
	catch_start();
	log_info("hidden");
	log_debug("hidden");
	access_begin(&e, "thing");
	log_access(&e, "an access line");
	catch_stop(buf, sizeof(buf));
	assert_matches(buf, "^" TIME_RE " info an access line\n$");
}

static void test_errno(void **state _unused_)
{
	char buf[4096];

	log_setup(LOG_TO_STDERR, LOG_LVL_INFO);
	catch_start();
	errno = EDOM;
	assert_int_equal(log_errno(-ENOENT, "cannot open %s", "/x"), -ENOENT);
	assert_int_equal(errno, EDOM);
	log_info("text");
	assert_int_equal(errno, EDOM);
	catch_stop(buf, sizeof(buf));
	assert_matches(buf, " error cannot open /x: No such file or directory\n");
}

static void test_forgery(void **state _unused_)
{
	char buf[4096];

	log_setup(LOG_TO_STDERR, LOG_LVL_INFO);
	catch_start();
	log_info("host \"%s\"", "a\n2026-01-01T00:00:00.000Z error forged\r\x1b[31m\x7f\xc3\xa9");
	catch_stop(buf, sizeof(buf));
	assert_non_null(strstr(buf, "info host \"a\\x0a2026-01-01T00:00:00.000Z error "
				    "forged\\x0d\\x1b[31m\\x7f\\xc3\\xa9\"\n"));
	assert_ptr_equal(strchr(buf, '\n'), buf + strlen(buf) - 1);
}

static void test_long(void **state _unused_)
{
	static char text[20000];
	static char buf[32768];

	for (int fill = 0; fill < 2; fill++) {
		memset(text, fill ? '\n' : 'a', sizeof(text) - 1);
		log_setup(LOG_TO_STDERR, LOG_LVL_INFO);
		catch_start();
		log_info("%s", text);
		(void)log_errno(-EIO, "%s", text);
		catch_stop(buf, sizeof(buf));
		assert_matches(buf, "^[^\n]{1000,4092}\\.\\.\\.\n[^\n]{1000,4095}\n$");
	}
}

static void *log_many(void *arg)
{
	for (int i = 0; i < 200; i++)
		log_info("%s", (const char *)arg);
	return NULL;
}

static void test_threads(void **state _unused_)
{
	static char texts[4][100];
	static char buf[256 * 1024];
	pthread_t threads[4];
	int lines = 0;

	log_setup(LOG_TO_STDERR, LOG_LVL_INFO);
	catch_start();
	/* The pipe must hold it all: nobody reads until the threads are done. */
	assert_true(fcntl(catch_fd, F_SETPIPE_SZ, 256 * 1024) >= 0);
	for (int i = 0; i < 4; i++) {
		memset(texts[i], 'a' + i, sizeof(texts[i]) - 1);
		assert_int_equal(pthread_create(&threads[i], NULL, log_many, texts[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	catch_stop(buf, sizeof(buf));
	for (char *rest = buf, *line; (line = strsep(&rest, "\n")) && *line; lines++)
		assert_matches(line, "^" TIME_RE " info (a{99}|b{99}|c{99}|d{99})$");
	assert_int_equal(lines, 800);
}

static void test_no_reader(void **state _unused_)
{
	char buf[16];
	int saved_catch;

	log_setup(LOG_TO_STDERR, LOG_LVL_INFO);
	(void)signal(SIGPIPE, SIG_IGN);
	catch_start();
	saved_catch = catch_fd;
	catch_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)close(saved_catch);
	errno = 0;
	log_info("to nobody"); /* EPIPE */
	assert_int_equal(errno, 0);
	catch_stop(buf, sizeof(buf));

	catch_start();
	assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK), 0);
	for (int i = 0; i < 10000; i++)
		log_info("to a full pipe"); /* EAGAIN */
	assert_int_equal(errno, 0);
	catch_stop(buf, sizeof(buf));
}

static void *log_long(void *arg _unused_)
{
	char text[3000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 3; i++)
		log_info("%s", text);
	return NULL;
}

/* Room for one line, and threads that see it at the same time: none of them waits for a reader. */
static void test_last_room(void **state _unused_)
{
	static char buf[8192];
	struct timespec deadline;
	pthread_t threads[4];

	log_setup(LOG_TO_STDERR, LOG_LVL_INFO);
	(void)clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += 10 * DEADLINE_MS / 1000;
	for (int round = 0; round < 300; round++) {
		bool over = true;

		catch_start();
		assert_int_equal(fcntl(catch_fd, F_SETPIPE_SZ, 4096), 4096);
		for (int i = 0; i < 4; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, log_long, NULL), 0);
		for (int i = 0; i < 4; i++)
			over &= pthread_timedjoin_np(threads[i], NULL, &deadline) == 0;
		catch_stop(buf, sizeof(buf));
		assert_true(over);
		assert_matches(buf, "^" TIME_RE " info x+\n$");
	}
}

/* Names stderr's pipe as systemd does, or something else with an offset. */
static void set_journal_stream(unsigned int offset)
{
	struct stat st;
	char text[64];

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	(void)snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev,
		       (unsigned long long)st.st_ino + offset);
	assert_int_equal(setenv("JOURNAL_STREAM", text, 1), 0);
}

static void test_stderr_to_journal(void **state _unused_)
{
	char buf[4096];

	catch_start();
	set_journal_stream(0);
	log_setup(LOG_TO_STDERR, LOG_LVL_INFO);
	log_warn("text");
	set_journal_stream(1);
	log_setup(LOG_TO_STDERR, LOG_LVL_INFO);
	log_warn("text");
	(void)unsetenv("JOURNAL_STREAM");
	catch_stop(buf, sizeof(buf));
	assert_matches(buf, "^<4>text\n" TIME_RE " warning text\n$");
}

/* A datagram of the journal's: fields as text, one a line; a value with its length before it is in
 * brackets, with its newlines as |. */
static void read_record(const char *data, size_t len, char *out)
{
	const char *end = data + len;

	while (data < end) {
		size_t name = strcspn(data, "=\n");

		out += sprintf(out, "%.*s=", (int)name, data);
		data += name;
		if (*data++ == '=') {
			size_t value =
			    (size_t)((const char *)memchr(data, '\n', (size_t)(end - data)) - data);

			out += sprintf(out, "%.*s", (int)value, data);
			data += value;
		} else {
			uint64_t value = 0;

			for (int i = 7; i >= 0; i--)
				value = value << 8 | (uint8_t)data[i];
			data += 8;
			assert_true(value < (uint64_t)(end - data));
			*out++ = '[';
			for (uint64_t i = 0; i < value; i++)
				*out++ = (char)(data[i] == '\n' ? '|' : data[i]);
			*out++ = ']';
			data += value;
		}
		assert_int_equal(*data++, '\n');
		*out++ = '\n';
	}
	*out = '\0';
}

static void test_record(void **state _unused_)
{
	char record[JOURNAL_RECORD_MAX + 1], text[2 * JOURNAL_RECORD_MAX];
	struct access_entry e;
	size_t n;

	access_begin(&e, "session");
	access_number(&e, "id", UINT64_MAX);
	access_text(&e, "none", NULL);
	access_text(&e, "empty", "");
	access_text(&e, "bytes_up", "a=b c");
	access_text(&e, "evil", "\nSPLICED_POOL=x\n");
	access_text(&e, "newline", "\n");
	n = journal_format(6, "line", 4, &e, record);
	read_record(record, n, text);
	assert_string_equal(text, "MESSAGE=line\nPRIORITY=6\nSYSLOG_IDENTIFIER=spliced\n"
				  "SPLICED_EVENT=session\nSPLICED_SESSION=18446744073709551615\n"
				  "SPLICED_EMPTY=\nSPLICED_BYTES_UP=a=b c\n"
				  "SPLICED_EVIL=[|SPLICED_POOL=x|]\nSPLICED_NEWLINE=[|]\n");
}

/* The longest values are cut, between characters; the others and the message stay. */
static void test_record_too_long(void **state _unused_)
{
	char record[JOURNAL_RECORD_MAX + 1], text[2 * JOURNAL_RECORD_MAX], message[LOG_LINE_MAX];
	static char huge[3 * JOURNAL_RECORD_MAX];
	struct access_entry e;
	size_t n;

	memset(message, 'm', sizeof(message));
	for (size_t i = 0; i + 1 < sizeof(huge); i += 2)
		memcpy(huge + i, "\xc3\xa4", 2);
	for (int fields = 1; fields <= ACCESS_FIELDS_MAX; fields++) {
		access_begin(&e, "request");
		for (int i = 0; i < fields - 1; i++)
			access_text(&e, "x", huge + (i & 1));
		access_text(&e, "last", "short");
		n = journal_format(6, message, sizeof(message), &e, record);
		assert_true(n <= JOURNAL_RECORD_MAX);
		read_record(record, n, text);
		assert_memory_equal(text + strlen("MESSAGE="), message, sizeof(message));
		assert_non_null(strstr(text, "\nSPLICED_LAST=short\n"));
		if (fields > 1)
			assert_non_null(strstr(text, "\xc3\xa4...\n"));
		assert_null(strstr(text, "\xc3..."));
	}
}

/* A /run of our own, so that the journal's socket is ours. False: not permitted here. */
static bool private_run(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", "/run", "tmpfs", 0, "size=1m") == 0 &&
	       mkdir("/run/systemd", 0755) == 0 && mkdir("/run/systemd/journal", 0755) == 0;
}

static int journal_socket(void)
{
	const struct sockaddr_un un = {AF_UNIX, "/run/systemd/journal/socket"};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

static void assert_journal(int fd, const char *want)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char buf[4096];
	ssize_t n;

	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
	n = recv(fd, buf, sizeof(buf) - 1, 0);
	assert_true(n > 0);
	buf[n] = '\0';
	assert_string_equal(buf, want);
}

/* The last test: it leaves the process in a mount namespace of its own. */
static void test_journal(void **state _unused_)
{
	char buf[4096];
	int fd;

	if (!private_run()) {
		print_message("a private /run is not permitted here\n");
		skip();
	}
	catch_start();
	log_setup(LOG_TO_JOURNAL, LOG_LVL_INFO);
	log_info("text");
	catch_stop(buf, sizeof(buf));
	assert_matches(buf, "^" TIME_RE " warning no journal is running here [^\n]*\n" TIME_RE
			    " info text\n$");

	fd = journal_socket();
	log_setup(LOG_TO_JOURNAL, LOG_LVL_INFO);
	log_info("a\nPRIORITY=0");
	assert_journal(fd, "MESSAGE=a\\x0aPRIORITY=0\nPRIORITY=6\nSYSLOG_IDENTIFIER=spliced\n"
			   "SPLICED_EVENT=message\n");
	catch_start();
	set_journal_stream(0);
	log_setup(LOG_TO_AUTO, LOG_LVL_INFO);
	log_error("b");
	(void)unsetenv("JOURNAL_STREAM");
	log_setup(LOG_TO_AUTO, LOG_LVL_INFO);
	log_error("c");
	catch_stop(buf, sizeof(buf));
	assert_journal(fd, "MESSAGE=b\nPRIORITY=3\nSYSLOG_IDENTIFIER=spliced\n"
			   "SPLICED_EVENT=message\n");
	assert_matches(buf, "^" TIME_RE " error c\n$");

	log_setup(LOG_TO_JOURNAL, LOG_LVL_INFO);
	log_about(
	    LOG_LVL_WARNING,
	    LOG_ABOUT(.event = "server", .session = 7, .pool = "p", .server = "s", .state = "down"),
	    "server %s/%s: %d", "p", "s", 1);
	assert_journal(fd, "MESSAGE=server p/s: 1\nPRIORITY=4\nSYSLOG_IDENTIFIER=spliced\n"
			   "SPLICED_EVENT=server\nSPLICED_SESSION=7\nSPLICED_POOL=p\n"
			   "SPLICED_SERVER=s\nSPLICED_STATE=down\n");
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_text_of_lines),
	    cmocka_unit_test(test_levels),
	    cmocka_unit_test(test_errno),
	    cmocka_unit_test(test_forgery),
	    cmocka_unit_test(test_long),
	    cmocka_unit_test(test_threads),
	    cmocka_unit_test(test_no_reader),
	    cmocka_unit_test(test_stderr_to_journal),
	    cmocka_unit_test(test_last_room),
	    cmocka_unit_test(test_record),
	    cmocka_unit_test(test_record_too_long),
	    cmocka_unit_test(test_journal),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}

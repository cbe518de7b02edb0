// SPDX-License-Identifier: GPL-2.0-or-later
#include "ask.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../util.h"

/* From connecting to the last byte of the answer; to `upgrade` longer than the daemon waits for how
 * it went (UPGRADE_NS in report/commands.c). */
#define DEADLINE_NS         (10 * NSEC_PER_SEC)
#define UPGRADE_DEADLINE_NS (190 * NSEC_PER_SEC)
/* Some 400 bytes a session: far more than any daemon holds. */
#define ANSWER_MAX ((size_t)256 << 20)

static int wait_for(int fd, short events, uint64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	uint64_t now;
	int r;

	do {
		now = now_ns();
		r = now < deadline ? poll(&p, 1, (int)((deadline - now) / NSEC_PER_MSEC) + 1) : 0;
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return r == 0 ? -ETIMEDOUT : 0;
}

/* A unix connect is done at once, or EAGAIN while the daemon's queue is full: ask again. */
static int connect_unix(int fd, const struct sockaddr_un *un, uint64_t deadline)
{
	const struct timespec pause = {.tv_nsec = 20000000};

	while (connect(fd, (const struct sockaddr *)un, sizeof(*un)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (now_ns() >= deadline)
			return -ETIMEDOUT;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

/* The command, and the newline that ends it. */
static int send_line(int fd, const char *command, uint64_t deadline)
{
	size_t len = strlen(command) + 1;
	size_t done = 0;

	while (done < len) {
		bool last = done == len - 1;
		ssize_t n = last ? send(fd, "\n", 1, MSG_NOSIGNAL)
				 : send(fd, command + done, len - 1 - done, MSG_NOSIGNAL);
		int r;

		if (n >= 0) {
			done += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		r = wait_for(fd, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Reads up to the end of the stream. The caller owns *buf, which is NULL at first, even on failure.
 */
static int receive_all(int fd, uint64_t deadline, char **buf, size_t *ret_len)
{
	size_t size = 0;
	size_t len = 0;

	for (;;) {
		ssize_t n;
		int r;

		if (len == size) {
			size_t more = size ? size * 2 : 65536;
			char *bigger = more <= ANSWER_MAX ? realloc(*buf, more) : NULL;

			if (!bigger)
				return -ENOMEM;
			*buf = bigger;
			size = more;
		}
		r = wait_for(fd, POLLIN, deadline);
		if (r < 0)
			return r;
		n = recv(fd, *buf + len, size - len, 0);
		if (n == 0)
			break;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
	}
	*ret_len = len;
	return 0;
}

static uint64_t patience_of(const char *command)
{
	return strcmp(command, "upgrade") == 0 ? UPGRADE_DEADLINE_NS : DEADLINE_NS;
}

/* The caller owns *buf, which is NULL at first, even on failure. */
static int ask_text(const char *path, const char *command, char **buf, size_t *ret_len,
		    char why[ASK_WHY_MAX])
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	uint64_t deadline = now_ns() + patience_of(command);
	int r;

	if (strlen(path) >= sizeof(un.sun_path)) {
		(void)snprintf(why, ASK_WHY_MAX, "%.80s...: too long for a unix socket", path);
		return -ENAMETOOLONG;
	}
	(void)memcpy(un.sun_path, path, strlen(path) + 1);

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r = fd < 0 ? -errno : connect_unix(fd, &un, deadline);
	if (r < 0) {
		(void)snprintf(why, ASK_WHY_MAX, "cannot connect to %s: %s", path, strerror(-r));
		return r;
	}
	r = send_line(fd, command, deadline);
	/* A daemon with too many clients answers and closes before it has read the line. */
	if (r == 0 || r == -EPIPE)
		r = receive_all(fd, deadline, buf, ret_len);
	if (r < 0)
		(void)snprintf(why, ASK_WHY_MAX, "no answer from %s: %s", path, strerror(-r));
	return r;
}

json_t *ask(const char *path, const char *command, char why[ASK_WHY_MAX])
{
	_cleanup_free_ char *text = NULL;
	json_error_t error;
	const char *says;
	json_t *answer;
	size_t len = 0;

	if (ask_text(path, command, &text, &len, why) < 0)
		return NULL;
	answer = json_loadb(text, len, 0, &error);
	if (!answer) {
		(void)snprintf(why, ASK_WHY_MAX, "the answer from %s is not JSON: %.80s", path,
			       error.text);
		return NULL;
	}
	says = json_string_value(json_object_get(answer, "error"));
	if (!says)
		return answer;
	(void)snprintf(why, ASK_WHY_MAX, "the daemon at %s says: %s", path, says);
	json_decref(answer);
	return NULL;
}

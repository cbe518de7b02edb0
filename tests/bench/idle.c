// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Opens many connections, has each echo one message (idle) or answer one HTTP request
 * (idle-get) so that the proxy really made a session of it, says so on standard output, and
 * holds them until standard input ends.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "bench.h"
#include "http.h"

/* Under way at a time, to stay below every listen backlog. */
#define WINDOW 64

struct idle {
	const struct options *options;
	char *message;
	size_t length;
	bool (*await)(int fd, const struct options *options);
};

static int open_one(const struct idle *idle, unsigned number)
{
	struct timeval patience = {.tv_sec = 10};
	int fd = dial(idle->options, number, true);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (send(fd, idle->message, idle->length, MSG_NOSIGNAL) == (ssize_t)idle->length)
		return fd;
	close(fd);
	return -1;
}

static bool await_echo(int fd, const struct options *options)
{
	char piece[4096];
	size_t left = options->size;

	while (left > 0) {
		ssize_t length = recv(fd, piece, left < sizeof(piece) ? left : sizeof(piece), 0);
		if (length <= 0)
			return false;
		left -= (size_t)length;
	}
	return true;
}

static bool await_response(int fd, const struct options *options)
{
	char data[HTTP_HEAD_MAX];
	size_t length = 0, body = 0;

	while (length < sizeof(data)) {
		ssize_t more = recv(fd, data + length, sizeof(data) - length, 0);
		if (more <= 0)
			return false;
		length += (size_t)more;
		int head = http_response_read(data, length, &body);
		if (head != 0 && (head < 0 || body != options->size))
			return false;
		if (head > 0 && length >= (size_t)head + body)
			return length == (size_t)head + body;
	}
	return false;
}

static unsigned open_all(const struct idle *idle, int *fds)
{
	unsigned count = idle->options->connections;
	unsigned established = 0;

	for (unsigned i = 0; i < count + WINDOW; i++) {
		if (i < count)
			fds[i] = open_one(idle, i);
		if (i >= WINDOW && i - WINDOW < count && fds[i - WINDOW] >= 0)
			established += idle->await(fds[i - WINDOW], idle->options);
	}
	return established;
}

static void idle_init(struct idle *idle, const struct options *options)
{
	size_t size = options->size > HTTP_HEAD_MAX ? options->size : HTTP_HEAD_MAX;

	idle->options = options;
	idle->message = calloc(1, size);
	if (idle->message == NULL)
		die("calloc");
	if (strcmp(options->role, "idle-get") == 0) {
		idle->await = await_response;
		idle->length = http_request(idle->message, options->size);
	} else {
		idle->await = await_echo;
		idle->length = options->size;
		idle->message[0] = SERVICE_ECHO;
	}
}

int idle_main(const struct options *options)
{
	int *fds = calloc(options->connections, sizeof(*fds));
	struct idle idle;
	char end;

	if (fds == NULL)
		die("calloc");
	idle_init(&idle, options);
	printf("{\"established\": %u}\n", open_all(&idle, fds));
	fflush(stdout);
	while (read(STDIN_FILENO, &end, 1) > 0 || errno == EINTR)
		errno = 0;
	free(idle.message);
	free(fds);
	return 0;
}

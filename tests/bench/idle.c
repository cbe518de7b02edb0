// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Opens many connections, has each echo one message so that the proxy really made a
 * session of it, says so on standard output, and holds them until standard input ends.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "bench.h"

/* Under way at a time, to stay below every listen backlog. */
#define WINDOW 64

static int open_one(const struct options *options, unsigned number, const char *message)
{
	struct timeval patience = {.tv_sec = 10};
	int fd = dial(options, number, true);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (send(fd, message, options->size, MSG_NOSIGNAL) == (ssize_t)options->size)
		return fd;
	close(fd);
	return -1;
}

static bool await_echo(int fd, char *answer, size_t size)
{
	return fd >= 0 && recv(fd, answer, size, MSG_WAITALL) == (ssize_t)size;
}

static unsigned open_all(const struct options *options, int *fds)
{
	char *message = calloc(2, options->size);
	unsigned established = 0;

	if (message == NULL)
		die("calloc");
	message[0] = SERVICE_ECHO;
	for (unsigned i = 0; i < options->connections + WINDOW; i++) {
		if (i < options->connections)
			fds[i] = open_one(options, i, message);
		if (i >= WINDOW && i - WINDOW < options->connections)
			established +=
			    await_echo(fds[i - WINDOW], message + options->size, options->size);
	}
	free(message);
	return established;
}

int idle_main(const struct options *options)
{
	int *fds = calloc(options->connections, sizeof(*fds));
	char end;

	if (fds == NULL)
		die("calloc");
	printf("{\"established\": %u}\n", open_all(options, fds));
	fflush(stdout);
	while (read(STDIN_FILENO, &end, 1) > 0 || errno == EINTR)
		errno = 0;
	free(fds);
	return 0;
}

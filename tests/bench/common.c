// SPDX-License-Identifier: GPL-2.0-or-later
/* Sockets, clock and the shared counters. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* 127.0.0.2 to 127.0.0.201: 200 x 28 000 ports, more than TIME_WAIT can fill. */
#define SOURCE_FIRST 2
#define SOURCE_COUNT 200

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void die(const char *what)
{
	fprintf(stderr, "spliced-bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

struct backend_stats *stats_map(const char *path, bool create)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_TRUNC : 0), 0600);

	if (fd < 0)
		die(path);
	if (create && ftruncate(fd, sizeof(struct backend_stats)) < 0)
		die(path);
	void *map =
	    mmap(NULL, sizeof(struct backend_stats), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		die(path);
	close(fd);
	return map;
}

void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("setrlimit");
}

static void bind_source(int fd, unsigned number)
{
	int one = 1;
	struct sockaddr_in source = {
	    .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + SOURCE_FIRST + number % SOURCE_COUNT),
	};

	/* The port is chosen at connect(), when the whole four-tuple is known. */
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) < 0)
		die("IP_BIND_ADDRESS_NO_PORT");
	if (bind(fd, (struct sockaddr *)&source, sizeof(source)) < 0)
		die("bind to a loopback address");
}

int dial(const struct options *options, unsigned number, bool blocking)
{
	int one = 1;
	struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(options->port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);

	if (fd < 0)
		die("socket");
	inet_pton(AF_INET, options->host, &target.sin_addr);
	bind_source(fd, number);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&target, sizeof(target)) == 0 || errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

void unblock(int fd)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		die("fcntl");
}

void epoll_set(int epoll, int op, int fd, uint32_t events, void *data)
{
	struct epoll_event event = {.events = events, .data.ptr = data};

	if (epoll_ctl(epoll, op, fd, &event) < 0)
		die("epoll_ctl");
}

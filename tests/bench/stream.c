// SPDX-License-Identifier: GPL-2.0-or-later
/* Bulk data: upload is counted by the backend, download here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define EVENTS_AT_ONCE 64

struct stream {
	int fd;
};

static void streams_open(struct load *load, struct stream *streams, int epoll, char service,
			 uint32_t events)
{
	const struct options *options = load->options;
	char start[PREFACE_MAX + 1];
	ssize_t length = (ssize_t)options->preface_size + 1;

	if (options->preface_size > 0)
		memcpy(start, options->preface, options->preface_size);
	start[length - 1] = service;
	for (unsigned i = 0; i < load->connections; i++) {
		/* Connects blocking, so that the order of the streams is the same each time. */
		streams[i].fd = dial(options, load->first + i, true);
		if (streams[i].fd < 0)
			die("connect");
		/* Before the first byte, as programs that wait for events do. */
		unblock(streams[i].fd);
		if (send(streams[i].fd, start, (size_t)length, MSG_NOSIGNAL) != length)
			die("connect");
		epoll_set(epoll, EPOLL_CTL_ADD, streams[i].fd, events, &streams[i]);
	}
}

static void count(struct load *load, size_t length)
{
	/* One writer: a plain load and store is cheaper than an atomic addition. */
	uint64_t bytes = atomic_load_explicit(&load->bytes, memory_order_relaxed);

	atomic_store_explicit(&load->bytes, bytes + length, memory_order_relaxed);
}

/* As long as there is room, but so much at most that the other streams have their turn. */
static bool stream_write(struct load *load, struct stream *stream, const char *buffer)
{
	size_t size = load->options->write;

	for (size_t done = 0; done + size <= CHUNK_SIZE; done += size) {
		ssize_t length = send(stream->fd, buffer, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (length < 0)
			return errno == EAGAIN;
		count(load, (size_t)length);
	}
	return true;
}

static bool stream_read(struct load *load, struct stream *stream, char *buffer)
{
	ssize_t length = recv(stream->fd, buffer, CHUNK_SIZE, MSG_DONTWAIT);

	if (length < 0)
		return errno == EAGAIN;
	count(load, (size_t)length);
	return length > 0;
}

static bool stream_event(struct load *load, struct stream *stream, char *buffer, bool upload)
{
	return upload ? stream_write(load, stream, buffer) : stream_read(load, stream, buffer);
}

static void streams_loop(struct load *load, int epoll, char *buffer, bool upload)
{
	struct epoll_event events[EVENTS_AT_ONCE];

	while (atomic_load_explicit(load->phase, memory_order_relaxed) != PHASE_STOP) {
		int count = epoll_wait(epoll, events, EVENTS_AT_ONCE, 50);
		for (int i = 0; i < count; i++) {
			struct stream *stream = events[i].data.ptr;
			if (stream_event(load, stream, buffer, upload))
				continue;
			load->errors++;
			close(stream->fd);
			stream->fd = -1;
		}
	}
}

static void streams_run(struct load *load, bool upload)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	char *buffer = calloc(1, CHUNK_SIZE);
	struct stream *streams = calloc(load->connections, sizeof(*streams));

	if (epoll < 0 || buffer == NULL || streams == NULL)
		die("streams");
	streams_open(load, streams, epoll, upload ? SERVICE_SINK : SERVICE_SOURCE,
		     upload ? EPOLLOUT : EPOLLIN);
	streams_loop(load, epoll, buffer, upload);
	for (unsigned i = 0; i < load->connections; i++)
		if (streams[i].fd >= 0)
			close(streams[i].fd);
	free(streams);
	free(buffer);
	close(epoll);
}

void upload_load(struct load *load)
{
	streams_run(load, true);
}

void download_load(struct load *load)
{
	streams_run(load, false);
}

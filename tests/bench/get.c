// SPDX-License-Identifier: GPL-2.0-or-later
/* HTTP requests on connections that are kept, each with one request under way at a time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "http.h"

#define EVENTS_AT_ONCE 256

struct get {
	int fd;
	uint64_t number;
	uint64_t started;
	size_t head_length; /* bytes of the response that were kept */
	bool in_body;
	size_t left; /* of the body */
	char head[HTTP_HEAD_MAX];
	char mark[HTTP_MARK_SIZE]; /* the body's end */
};

struct gets {
	struct load *load;
	int epoll;
	char request[HTTP_HEAD_MAX];
	size_t request_length;
	char *buffer;
};

static bool get_start(struct gets *gets, struct get *get)
{
	get->head_length = 0;
	get->in_body = false;
	get->number++;
	http_mark(gets->request + HTTP_MARK_AT, get->number);
	get->started = now_ns();
	/* The last request was answered, so there is room. */
	return send(get->fd, gets->request, gets->request_length, MSG_NOSIGNAL) ==
	       (ssize_t)gets->request_length;
}

static void get_finish(struct gets *gets, struct get *get)
{
	struct load *load = gets->load;
	char mark[HTTP_MARK_SIZE];

	http_mark(mark, get->number);
	if (memcmp(get->mark, mark, sizeof(mark)) != 0)
		load->mismatches++;
	if (atomic_load_explicit(load->phase, memory_order_relaxed) == PHASE_MEASURE)
		hist_add(&load->latency, now_ns() - get->started);
}

/*
 * Takes what belongs to the response's head from the front of what came. Returns how many bytes
 * that was, or -1: not the head of the response that was asked for.
 */
static ssize_t take_head(struct gets *gets, struct get *get, const char *data, size_t length)
{
	size_t before = get->head_length;
	size_t room = sizeof(get->head) - before;
	size_t kept = length < room ? length : room;

	memcpy(get->head + before, data, kept);
	get->head_length += kept;
	int head = http_response_read(get->head, get->head_length, &get->left);
	if (head < 0 || (head > 0 && get->left != gets->load->options->size))
		return -1;
	get->in_body = head > 0;
	return head > 0 ? (ssize_t)((size_t)head - before) : (ssize_t)length;
}

static void keep_mark(struct get *get, const char *data, size_t length)
{
	/* The piece covers left to left - length, counted from the end of the body. */
	size_t from = get->left < HTTP_MARK_SIZE ? get->left : HTTP_MARK_SIZE;
	size_t to = get->left - length;

	if (from > to)
		memcpy(get->mark + HTTP_MARK_SIZE - from, data + (get->left - from), from - to);
}

/* Takes a piece of the body. False: more came than was promised. */
static bool take_body(struct gets *gets, struct get *get, const char *data, size_t length)
{
	struct load *load = gets->load;

	if (length > get->left)
		return false;
	keep_mark(get, data, length);
	get->left -= length;
	uint64_t bytes = atomic_load_explicit(&load->bytes, memory_order_relaxed);
	atomic_store_explicit(&load->bytes, bytes + length, memory_order_relaxed);
	return true;
}

static bool get_event(struct gets *gets, struct get *get)
{
	const char *data = gets->buffer;
	ssize_t length = recv(get->fd, gets->buffer, CHUNK_SIZE, 0);

	if (length <= 0)
		return length < 0 && errno == EAGAIN;
	if (!get->in_body) {
		ssize_t head = take_head(gets, get, data, (size_t)length);
		if (head < 0)
			return false;
		data += head;
		length -= head;
	}
	if (!get->in_body)
		return true;
	if (!take_body(gets, get, data, (size_t)length))
		return false;
	if (get->left > 0)
		return true;
	get_finish(gets, get);
	return get_start(gets, get);
}

static void get_open(struct gets *gets, struct get *get, unsigned number)
{
	get->fd = dial(gets->load->options, number, true);
	if (get->fd < 0)
		die("connect");
	/* Numbers that no other connection uses. */
	get->number = (uint64_t)number << 32;
	epoll_set(gets->epoll, EPOLL_CTL_ADD, get->fd, EPOLLIN, get);
	if (!get_start(gets, get))
		die("send");
}

static void get_lost(struct gets *gets, struct get *get)
{
	gets->load->errors++;
	close(get->fd);
	get->fd = -1;
}

static void gets_loop(struct gets *gets)
{
	struct epoll_event events[EVENTS_AT_ONCE];

	while (atomic_load_explicit(gets->load->phase, memory_order_relaxed) != PHASE_STOP) {
		int count = epoll_wait(gets->epoll, events, EVENTS_AT_ONCE, 50);
		for (int i = 0; i < count; i++)
			if (!get_event(gets, events[i].data.ptr))
				get_lost(gets, events[i].data.ptr);
	}
}

void get_load(struct load *load)
{
	struct gets gets = {.load = load, .epoll = epoll_create1(EPOLL_CLOEXEC)};
	struct get *connections = calloc(load->connections, sizeof(*connections));

	gets.buffer = malloc(CHUNK_SIZE);
	if (gets.epoll < 0 || gets.buffer == NULL || connections == NULL)
		die("get");
	gets.request_length = http_request(gets.request, load->options->size);
	for (unsigned i = 0; i < load->connections; i++)
		get_open(&gets, &connections[i], load->first + i);
	gets_loop(&gets);
	for (unsigned i = 0; i < load->connections; i++)
		if (connections[i].fd >= 0)
			close(connections[i].fd);
	free(connections);
	free(gets.buffer);
	close(gets.epoll);
}

// SPDX-License-Identifier: GPL-2.0-or-later
/* Request and response: each connection has one message under way at a time. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define EVENTS_AT_ONCE 256

/*
 * A message begins with the service byte and ends with its number. The test suite checks
 * a proxy's bytes in full; here only a lost or repeated piece must not pass for speed,
 * and looking at the end of a message costs nothing.
 */
#define NUMBER_SIZE sizeof(uint64_t)

struct request {
	int fd;
	bool waiting; /* for room to send the rest */
	size_t sent;
	size_t received;
	uint64_t started;
	uint64_t number;
	char tail[NUMBER_SIZE]; /* the number in the echo; it may come in two pieces */
};

struct echo {
	struct load *load;
	size_t preface; /* its size; it comes before a connection's first message */
	size_t size;
	int epoll;
	char *message; /* behind the preface */
	char *answer;
};

static void echo_init(struct echo *echo, struct load *load)
{
	echo->load = load;
	echo->preface = load->options->preface_size;
	echo->size = load->options->size;
	echo->epoll = epoll_create1(EPOLL_CLOEXEC);
	echo->message = calloc(1, echo->preface + echo->size);
	echo->answer = calloc(1, echo->size);
	if (echo->epoll < 0 || echo->message == NULL || echo->answer == NULL)
		die("echo");
	if (echo->preface > 0)
		memcpy(echo->message, load->options->preface, echo->preface);
	echo->message[echo->preface] = SERVICE_ECHO;
}

static void echo_free(struct echo *echo)
{
	close(echo->epoll);
	free(echo->message);
	free(echo->answer);
}

static void wait_for_room(struct echo *echo, struct request *request, bool waiting)
{
	if (request->waiting == waiting)
		return;
	request->waiting = waiting;
	epoll_set(echo->epoll, EPOLL_CTL_MOD, request->fd, EPOLLIN | (waiting ? EPOLLOUT : 0),
		  request);
}

static bool request_send(struct echo *echo, struct request *request)
{
	size_t length = echo->preface + echo->size;

	memcpy(echo->message + length - NUMBER_SIZE, &request->number, NUMBER_SIZE);
	ssize_t sent =
	    send(request->fd, echo->message + request->sent, length - request->sent, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		return false;
	if (sent > 0)
		request->sent += (size_t)sent;
	wait_for_room(echo, request, request->sent < length);
	return true;
}

static bool request_start(struct echo *echo, struct request *request)
{
	request->sent = request->number == 0 ? 0 : echo->preface;
	request->received = 0;
	request->number++;
	request->started = now_ns();
	return request_send(echo, request);
}

static void request_finish(struct echo *echo, struct request *request)
{
	struct load *load = echo->load;

	if (memcmp(request->tail, &request->number, NUMBER_SIZE) != 0)
		load->mismatches++;
	if (atomic_load_explicit(load->phase, memory_order_relaxed) == PHASE_MEASURE)
		hist_add(&load->latency, now_ns() - request->started);
}

static void keep_tail(struct echo *echo, struct request *request, size_t length)
{
	size_t tail = echo->size - NUMBER_SIZE;
	size_t from = request->received > tail ? request->received : tail;
	size_t end = request->received + length;

	if (end > from)
		memcpy(request->tail + (from - tail), echo->answer + from, end - from);
}

/* Returns 1 when the whole echo is there, 0 when more is to come, -1 when it broke. */
static int request_receive(struct echo *echo, struct request *request)
{
	ssize_t length =
	    recv(request->fd, echo->answer + request->received, echo->size - request->received, 0);

	if (length < 0)
		return errno == EAGAIN ? 0 : -1;
	if (length == 0)
		return -1;
	keep_tail(echo, request, (size_t)length);
	request->received += (size_t)length;
	return request->received == echo->size;
}

static bool request_event(struct echo *echo, struct request *request, uint32_t events)
{
	if (events & EPOLLOUT && !request_send(echo, request))
		return false;
	if (events == EPOLLOUT)
		return true;
	int done = request_receive(echo, request);
	if (done <= 0)
		return done == 0;
	request_finish(echo, request);
	return request_start(echo, request);
}

/* Blocking connects: they are few, and they happen before the warm-up. */
static void request_open(struct echo *echo, struct request *request, unsigned number)
{
	request->fd = dial(echo->load->options, number, true);
	if (request->fd < 0)
		die("connect");
	unblock(request->fd);
	epoll_set(echo->epoll, EPOLL_CTL_ADD, request->fd, EPOLLIN, request);
	if (!request_start(echo, request))
		die("send");
}

static void request_lost(struct echo *echo, struct request *request)
{
	echo->load->errors++;
	close(request->fd);
	request->fd = -1;
}

static void echo_loop(struct echo *echo)
{
	struct epoll_event events[EVENTS_AT_ONCE];

	while (atomic_load_explicit(echo->load->phase, memory_order_relaxed) != PHASE_STOP) {
		int count = epoll_wait(echo->epoll, events, EVENTS_AT_ONCE, 50);
		for (int i = 0; i < count; i++)
			if (!request_event(echo, events[i].data.ptr, events[i].events))
				request_lost(echo, events[i].data.ptr);
	}
}

void echo_load(struct load *load)
{
	struct echo echo;
	struct request *requests = calloc(load->connections, sizeof(*requests));

	if (requests == NULL)
		die("calloc");
	echo_init(&echo, load);
	for (unsigned i = 0; i < load->connections; i++)
		request_open(&echo, &requests[i], load->first + i);
	echo_loop(&echo);
	for (unsigned i = 0; i < load->connections; i++)
		if (requests[i].fd >= 0)
			close(requests[i].fd);
	free(requests);
	echo_free(&echo);
}

/*
 * Connection rate: every slot connects, sends one message, reads its echo, closes, and
 * starts again from another source address.
 */
static void slot_open(struct echo *echo, struct request *slot, unsigned *source)
{
	slot->sent = slot->received = 0;
	slot->waiting = false;
	slot->number++;
	slot->started = now_ns();
	slot->fd = dial(echo->load->options, (*source)++, false);
	if (slot->fd < 0)
		return;
	epoll_set(echo->epoll, EPOLL_CTL_ADD, slot->fd, EPOLLIN, slot);
	/* On loopback the connection is usually made by now; else EAGAIN waits for it. */
	if (!request_send(echo, slot)) {
		close(slot->fd);
		slot->fd = -1;
	}
}

static void slot_event(struct echo *echo, struct request *slot, uint32_t events, unsigned *source)
{
	if (events & EPOLLOUT && !(events & EPOLLERR) && request_send(echo, slot) &&
	    events == EPOLLOUT)
		return;
	int done = request_receive(echo, slot);
	if (done == 0)
		return;
	if (done > 0)
		request_finish(echo, slot);
	else
		echo->load->errors++;
	close(slot->fd);
	slot_open(echo, slot, source);
}

/* Slots whose connect() failed at once are tried again after a pause, not in a spin. */
static void reopen_failed(struct echo *echo, struct request *slots, unsigned *source)
{
	bool failed = false;

	for (unsigned i = 0; i < echo->load->connections; i++) {
		if (slots[i].fd >= 0)
			continue;
		failed = true;
		echo->load->errors++;
		slot_open(echo, &slots[i], source);
	}
	if (failed)
		poll(NULL, 0, 1);
}

static void connrate_loop(struct echo *echo, struct request *slots, unsigned *source)
{
	struct epoll_event events[EVENTS_AT_ONCE];

	while (atomic_load_explicit(echo->load->phase, memory_order_relaxed) != PHASE_STOP) {
		int count = epoll_wait(echo->epoll, events, EVENTS_AT_ONCE, 50);
		for (int i = 0; i < count; i++)
			slot_event(echo, events[i].data.ptr, events[i].events, source);
		reopen_failed(echo, slots, source);
	}
}

void connrate_load(struct load *load)
{
	struct echo echo;
	struct request *slots = calloc(load->connections, sizeof(*slots));
	unsigned source = load->first;

	if (slots == NULL)
		die("calloc");
	echo_init(&echo, load);
	for (unsigned i = 0; i < load->connections; i++)
		slot_open(&echo, &slots[i], &source);
	connrate_loop(&echo, slots, &source);
	for (unsigned i = 0; i < load->connections; i++)
		if (slots[i].fd >= 0)
			close(slots[i].fd);
	free(slots);
	echo_free(&echo);
}

// SPDX-License-Identifier: GPL-2.0-or-later
/* The backend: its services are told apart by the first byte of a connection. */
#define _GNU_SOURCE 1 /* accept4() */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend.h"

#define EVENTS_AT_ONCE 256

static uint16_t listen_somewhere(struct conn *listener)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);

	listener->listening = true;
	listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd < 0 ||
	    bind(listener->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener->fd, 4096) < 0 ||
	    getsockname(listener->fd, (struct sockaddr *)&address, &length) < 0)
		die("listen");
	return ntohs(address.sin_port);
}

static void conn_close(struct worker *worker, struct conn *conn)
{
	close(conn->fd);
	if (!conn->idle)
		atomic_fetch_sub_explicit(&worker->backend->stats->active, 1, memory_order_relaxed);
	free(conn->rest);
	free(conn->answer);
	free(conn);
}

static void conn_accept(struct worker *worker, int listener)
{
	struct backend_stats *stats = worker->backend->stats;
	int one = 1;

	for (int i = 0; i < 64; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		struct conn *conn = calloc(1, sizeof(*conn));
		if (conn == NULL)
			die("calloc");
		conn->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		atomic_fetch_add_explicit(&stats->active, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&stats->accepted, 1, memory_order_relaxed);
		epoll_set(worker->epoll, EPOLL_CTL_ADD, fd, EPOLLIN, conn);
	}
}

/* Keeps what the socket did not take, and reads no more until it has. */
static void echo_defer(struct worker *worker, struct conn *conn, const char *data, size_t length)
{
	conn->rest = malloc(length);
	if (conn->rest == NULL)
		die("malloc");
	memcpy(conn->rest, data, length);
	conn->rest_length = length;
	conn->rest_sent = 0;
	epoll_set(worker->epoll, EPOLL_CTL_MOD, conn->fd, EPOLLOUT, conn);
}

static bool echo_resume(struct worker *worker, struct conn *conn)
{
	ssize_t sent = send(conn->fd, conn->rest + conn->rest_sent,
			    conn->rest_length - conn->rest_sent, MSG_NOSIGNAL);

	if (sent < 0)
		return errno == EAGAIN;
	conn->rest_sent += (size_t)sent;
	if (conn->rest_sent < conn->rest_length)
		return true;
	free(conn->rest);
	conn->rest = NULL;
	epoll_set(worker->epoll, EPOLL_CTL_MOD, conn->fd, EPOLLIN, conn);
	return true;
}

static bool echo(struct worker *worker, struct conn *conn, const char *data, size_t length)
{
	ssize_t sent = send(conn->fd, data, length, MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN)
		return false;
	if (sent < 0)
		sent = 0;
	if ((size_t)sent < length)
		echo_defer(worker, conn, data + sent, length - (size_t)sent);
	return true;
}

/* The bytes at the front that belong to a ClientHello, or -1 if there is not even its length. */
static ssize_t preface_skip(struct conn *conn, const char *data, size_t length)
{
	if (conn->preface == 0 && data[0] == PREFACE_TLS) {
		if (length < TLS_HEADER_SIZE)
			return -1;
		conn->preface =
		    TLS_HEADER_SIZE + ((size_t)(uint8_t)data[3] << 8) + (uint8_t)data[4];
	}
	size_t skipped = length < conn->preface ? length : conn->preface;
	conn->preface -= skipped;
	return (ssize_t)skipped;
}

static bool conn_serve(struct worker *worker, struct conn *conn, const char *data, size_t length)
{
	switch (conn->service) {
	case SERVICE_ECHO:
		return echo(worker, conn, data, length);
	case SERVICE_SINK:
		atomic_fetch_add_explicit(&worker->backend->stats->received, length,
					  memory_order_relaxed);
		return true;
	case SERVICE_HTTP:
		return answer_take(worker, conn, data, length);
	case SERVICE_SOURCE:
		epoll_set(worker->epoll, EPOLL_CTL_MOD, conn->fd, EPOLLOUT, conn);
		return true;
	default:
		return false;
	}
}

static bool conn_readable(struct worker *worker, struct conn *conn)
{
	ssize_t length = recv(conn->fd, worker->buffer, CHUNK_SIZE, 0);
	ssize_t skipped = 0;

	if (length < 0)
		return errno == EAGAIN;
	if (length == 0)
		return false;
	if (conn->service == 0) {
		skipped = preface_skip(conn, worker->buffer, (size_t)length);
		if (skipped < 0 || skipped == length)
			return skipped == length;
		conn->service = worker->buffer[skipped];
	}
	return conn_serve(worker, conn, worker->buffer + skipped, (size_t)(length - skipped));
}

static bool conn_writable(struct worker *worker, struct conn *conn)
{
	if (conn->answer != NULL)
		return answer_resume(worker, conn);
	if (conn->rest != NULL)
		return echo_resume(worker, conn);
	ssize_t sent = send(conn->fd, worker->buffer, CHUNK_SIZE, MSG_NOSIGNAL);
	return sent >= 0 || errno == EAGAIN;
}

static void serve(struct worker *worker, const struct epoll_event *event)
{
	struct conn *conn = event->data.ptr;
	bool alive;

	if (conn->listening) {
		conn_accept(worker, conn->fd);
		return;
	}
	if (event->events & EPOLLERR)
		alive = false;
	else if (event->events & EPOLLOUT)
		alive = conn_writable(worker, conn);
	else
		alive = conn_readable(worker, conn);
	if (!alive)
		conn_close(worker, conn);
}

static void *worker_run(void *argument)
{
	struct worker worker = {.backend = argument, .epoll = epoll_create1(EPOLL_CLOEXEC)};
	struct epoll_event events[EVENTS_AT_ONCE];

	worker.buffer = calloc(1, CHUNK_SIZE);
	if (worker.epoll < 0 || worker.buffer == NULL)
		die("backend");
	for (unsigned i = 0; i < worker.backend->listener_count; i++) {
		struct conn *listener = &worker.backend->listeners[i];
		epoll_set(worker.epoll, EPOLL_CTL_ADD, listener->fd, EPOLLIN | EPOLLEXCLUSIVE,
			  listener);
	}
	for (;;) {
		int count = epoll_wait(worker.epoll, events, EVENTS_AT_ONCE, -1);
		for (int i = 0; i < count; i++)
			serve(&worker, &events[i]);
	}
	return NULL;
}

int backend_main(const struct options *options)
{
	struct backend backend = {.stats = stats_map(options->stats_path, true),
				  .listener_count = options->listeners};

	backend.listeners = calloc(options->listeners, sizeof(*backend.listeners));
	if (backend.listeners == NULL)
		die("calloc");
	printf("{\"ports\": [");
	for (unsigned i = 0; i < options->listeners; i++)
		printf("%s%u", i > 0 ? ", " : "", listen_somewhere(&backend.listeners[i]));
	printf("]}\n");
	fflush(stdout);
	for (unsigned i = 1; i < options->threads; i++) {
		pthread_t thread;
		if ((errno = pthread_create(&thread, NULL, worker_run, &backend)) != 0)
			die("pthread_create");
	}
	worker_run(&backend);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/* The backend's HTTP: answers requests in order, keeps the connection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "backend.h"
#include "http.h"

struct answer {
	char in[HTTP_HEAD_MAX]; /* requests, not yet read */
	size_t in_length;
	char head[HTTP_HEAD_MAX];
	size_t head_length;
	size_t body; /* its size, the mark counted in; the head is made for it */
	char mark[HTTP_MARK_SIZE];
	size_t sent;    /* of head and body */
	bool under_way; /* there is an answer to be sent */
	bool waiting;   /* for room */
};

/* A connection that only waits for a request does not keep the next measurement waiting. */
static void set_idle(struct worker *worker, struct conn *conn, bool idle)
{
	if (conn->idle != idle)
		atomic_fetch_add_explicit(&worker->backend->stats->active, idle ? -1 : 1,
					  memory_order_relaxed);
	conn->idle = idle;
}

/* Requests are not read while an answer waits for room. */
static void set_waiting(struct worker *worker, struct conn *conn, bool waiting)
{
	if (conn->answer->waiting == waiting)
		return;
	conn->answer->waiting = waiting;
	epoll_set(worker->epoll, EPOLL_CTL_MOD, conn->fd, waiting ? EPOLLOUT : EPOLLIN, conn);
}

/* Reads the next request. False if it is not one that the client would send. */
static bool answer_begin(struct worker *worker, struct conn *conn)
{
	struct answer *answer = conn->answer;
	size_t body;
	int length = http_request_read(answer->in, answer->in_length, answer->mark, &body);

	if (length <= 0)
		return length == 0;
	answer->in_length -= (size_t)length;
	memmove(answer->in, answer->in + length, answer->in_length);
	if (answer->body != body)
		answer->head_length = http_response(answer->head, body);
	answer->body = body;
	answer->sent = 0;
	answer->under_way = true;
	set_idle(worker, conn, false);
	return true;
}

/* Adds what is still to be sent of one part of the answer, and moves on to the next part. */
static void add_part(struct iovec *part, char *data, size_t length, size_t *sent)
{
	size_t skipped = *sent < length ? *sent : length;

	*part = (struct iovec){.iov_base = data + skipped, .iov_len = length - skipped};
	*sent -= skipped;
}

/* One system call's worth of the answer. What fills the body is of no interest. */
static ssize_t answer_send(struct worker *worker, struct conn *conn)
{
	struct answer *answer = conn->answer;
	size_t filling = answer->body - HTTP_MARK_SIZE;
	size_t sent = answer->sent;
	struct iovec parts[3];
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};

	add_part(&parts[0], answer->head, answer->head_length, &sent);
	size_t left = filling - (sent < filling ? sent : filling);
	parts[1] = (struct iovec){.iov_base = worker->buffer,
				  .iov_len = left < CHUNK_SIZE ? left : CHUNK_SIZE};
	sent -= filling - left;
	add_part(&parts[2], answer->mark, HTTP_MARK_SIZE, &sent);
	if (left > CHUNK_SIZE)
		message.msg_iovlen = 2;
	return sendmsg(conn->fd, &message, MSG_NOSIGNAL);
}

static bool answer_step(struct worker *worker, struct conn *conn)
{
	struct answer *answer = conn->answer;
	ssize_t sent = answer_send(worker, conn);

	if (sent < 0 && errno != EAGAIN)
		return false;
	if (sent > 0)
		answer->sent += (size_t)sent;
	answer->under_way = answer->sent < answer->head_length + answer->body;
	set_waiting(worker, conn, answer->under_way);
	if (!answer->under_way)
		set_idle(worker, conn, true);
	return true;
}

/* Answers request after request until one is not complete or the socket has no room. */
static bool answer_all(struct worker *worker, struct conn *conn)
{
	do {
		if (!answer_begin(worker, conn))
			return false;
		if (!conn->answer->under_way)
			return true;
		if (!answer_step(worker, conn))
			return false;
	} while (!conn->answer->under_way);
	return true;
}

bool answer_take(struct worker *worker, struct conn *conn, const char *data, size_t length)
{
	if (conn->answer == NULL && (conn->answer = calloc(1, sizeof(*conn->answer))) == NULL)
		die("calloc");
	struct answer *answer = conn->answer;

	if (length > sizeof(answer->in) - answer->in_length)
		return false;
	memcpy(answer->in + answer->in_length, data, length);
	answer->in_length += length;
	return answer_all(worker, conn);
}

/* One piece a turn, so that many long answers share the thread. */
bool answer_resume(struct worker *worker, struct conn *conn)
{
	if (!answer_step(worker, conn))
		return false;
	return conn->answer->under_way || answer_all(worker, conn);
}

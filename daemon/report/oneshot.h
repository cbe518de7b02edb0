/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server for clients with one request each: it is read until it is whole and handed over, now or
 * later it is answered, and the connection is closed. Clients are few and may be hostile: how many
 * there are, how much each sends, and how long it takes are bounded. Everything is done in the
 * thread of the event base.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

struct evbuffer;
struct oneshot;
struct oneshot_request;

struct oneshot_kind {
	/*
	 * How long the request is at the front of what has come; 0: it is not whole. `ended`:
	 * nothing more will come. What is longer than request_max is handed over, whole or not.
	 */
	size_t (*length)(const char *data, size_t len, bool ended);
	/* Must lead to exactly one oneshot_answer(), now or later. `data` has a NUL behind it, and
	 * is the callee's to change until the answer. */
	void (*run)(struct oneshot_request *req, char *data, size_t len, void *arg);
	unsigned int clients_max;
	size_t request_max;
	/* For one too many. NULL: the one whose request has taken longest goes instead. */
	const char *busy;
	/* After the answer the client is given time to end its stream: what it still sends would
	 * reset a TCP connection that is closed, and the answer with it. */
	bool lingers;
};

/*
 * Serves who connects to `fd`, a listening socket, which it takes over when it succeeds. `name` is
 * for the log; it, `kind` and `arg` must outlive it. A client has 10 s to send its request, and 10
 * s to take the answer. When there is no descriptor for another client, one that is kept in reserve
 * is given up for it. NULL: out of memory.
 */
struct oneshot *oneshot_open(struct event_base *base, int fd, const char *name,
			     const struct oneshot_kind *kind, void *arg);
/* Accepts nobody until it is told to (again); stops for good, and answers who is there. NULL is
 * allowed. */
void oneshot_wait(struct oneshot *o);
void oneshot_accept(struct oneshot *o);
void oneshot_stop(struct oneshot *o);
/* Requests that are not answered yet are dropped: their answers go nowhere. NULL is allowed. */
void oneshot_close(struct oneshot *o);

/* Where the answer is to be written; NULL: there is nobody any more. */
struct evbuffer *oneshot_output(const struct oneshot_request *req);
/* It has been. */
void oneshot_answer(struct oneshot_request *req);

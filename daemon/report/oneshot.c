// SPDX-License-Identifier: GPL-2.0-or-later
#include "oneshot.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "../log.h"
#include "../util.h"

/* For a client to send its request, and again to take the answer. */
static const struct timeval client_patience = {.tv_sec = 10};
/* ... and to end its stream then. */
static const struct timeval linger_patience = {.tv_sec = 2};
/* How long accepting rests after it failed (no descriptors left, say). */
static const struct timeval accept_rest = {.tv_sec = 1};

/*
 * A request is in one of these states, in this order:
 *   reading    it is not whole; the deadline runs, reading is on
 *   running    somebody has it; neither deadline nor reading: a client that has gone away or has
 *              closed its sending side is noticed when it is answered
 *   answering  the answer is being written; the deadline runs
 *   lingering  it is written; what still comes is thrown away; the deadline runs
 * oneshot_close() ends all but a running one, and orphans that (server is NULL): whoever has it
 * still holds the pointer and will answer.
 */
enum request_state { REQUEST_READING, REQUEST_RUNNING, REQUEST_ANSWERING, REQUEST_LINGERING };

struct oneshot_request {
	TAILQ_ENTRY(oneshot_request) link;
	struct oneshot *server;
	struct bufferevent *bev;
	struct event *deadline;
	enum request_state state;
	char *data;
};

struct oneshot {
	const struct oneshot_kind *kind;
	void *arg;
	const char *name;
	struct event_base *base;
	struct evconnlistener *listener;
	struct event *accept_again;
	int reserve_fd; /* whichever; -1: it is in use */
	unsigned int n_requests;
	TAILQ_HEAD(, oneshot_request) requests; /* the oldest first */
};

/* ---- a request -------------------------------------------------------------------------- */

static void refill_reserve(struct oneshot *o)
{
	if (o->reserve_fd < 0)
		o->reserve_fd = eventfd(0, EFD_CLOEXEC);
}

/* Where there is no reserve the descriptor becomes that, before another thread can have it. */
static void close_client(struct oneshot *o, int fd)
{
	if (o->reserve_fd < 0 && o->listener &&
	    dup3(evconnlistener_get_fd(o->listener), fd, O_CLOEXEC) == fd)
		o->reserve_fd = fd;
	else
		(void)close(fd);
}

static void request_free(struct oneshot_request *req)
{
	struct oneshot *o = req->server;

	TAILQ_REMOVE(&o->requests, req, link);
	o->n_requests--;
	if (req->deadline)
		event_free(req->deadline);
	if (req->bev) {
		int fd = bufferevent_getfd(req->bev);

		/* It is freed later, in the loop. */
		(void)bufferevent_setfd(req->bev, -1);
		bufferevent_free(req->bev);
		close_client(o, fd);
	}
	free(req->data);
	free(req);
}

static void on_deadline(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	request_free(arg);
}

/* `len` bytes of what has come are handed over. */
static void request_run(struct oneshot_request *req, size_t len)
{
	struct oneshot *o = req->server;

	req->data = malloc(len + 1);
	if (!req->data) {
		request_free(req);
		return;
	}
	(void)evbuffer_remove(bufferevent_get_input(req->bev), req->data, len);
	req->data[len] = '\0';
	req->state = REQUEST_RUNNING;
	(void)bufferevent_disable(req->bev, EV_READ);
	(void)event_del(req->deadline);
	o->kind->run(req, req->data, len, o->arg);
}

/* Runs it if it is whole; false: it is not. */
static bool request_look(struct oneshot_request *req, bool ended)
{
	struct evbuffer *input = bufferevent_get_input(req->bev);
	const struct oneshot_kind *kind = req->server->kind;
	size_t has = evbuffer_get_length(input), len;
	const char *data = (const char *)evbuffer_pullup(input, -1);

	if (!data)
		return false;
	len = kind->length(data, has, ended);
	if (!len && has <= kind->request_max)
		return false;
	request_run(req, len ? len : has);
	return true;
}

static void on_readable(struct bufferevent *bev, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(bev);
	struct oneshot_request *req = arg;

	if (req->state == REQUEST_READING)
		(void)request_look(req, false);
	else if (req->state == REQUEST_LINGERING)
		(void)evbuffer_drain(input, evbuffer_get_length(input));
}

static void request_linger(struct oneshot_request *req)
{
	struct evbuffer *input = bufferevent_get_input(req->bev);

	req->state = REQUEST_LINGERING;
	(void)evbuffer_drain(input, evbuffer_get_length(input));
	if (shutdown(bufferevent_getfd(req->bev), SHUT_WR) < 0 ||
	    event_add(req->deadline, &linger_patience) < 0 ||
	    bufferevent_enable(req->bev, EV_READ) < 0)
		request_free(req);
}

static void on_written(struct bufferevent *bev _unused_, void *arg)
{
	struct oneshot_request *req = arg;

	/* libevent calls this once at the start, too, with nothing to write yet. */
	if (req->state != REQUEST_ANSWERING)
		return;
	if (req->server->kind->lingers)
		request_linger(req);
	else
		request_free(req);
}

static void on_event(struct bufferevent *bev _unused_, short what, void *arg)
{
	struct oneshot_request *req = arg;

	if (req->state == REQUEST_RUNNING)
		return;
	/* `printf status | nc -N -U SOCKET`: the end of the stream may end the request as well. */
	if (req->state != REQUEST_READING || !(what & BEV_EVENT_EOF) || !request_look(req, true))
		request_free(req);
}

struct evbuffer *oneshot_output(const struct oneshot_request *req)
{
	return req->server ? bufferevent_get_output(req->bev) : NULL;
}

void oneshot_answer(struct oneshot_request *req)
{
	if (!req->server) {
		free(req->data);
		free(req);
		return;
	}
	req->state = REQUEST_ANSWERING;
	/* Without a deadline a client that takes nothing would stay for ever. */
	if (event_add(req->deadline, &client_patience) < 0)
		request_free(req);
}

/* ---- clients ---------------------------------------------------------------------------- */

/* Takes fd, whether it succeeds or not. */
static int request_new(struct oneshot *o, evutil_socket_t fd)
{
	struct oneshot_request *req = calloc(1, sizeof(*req));

	if (!req) {
		(void)close(fd);
		return -ENOMEM;
	}
	req->server = o;
	TAILQ_INSERT_TAIL(&o->requests, req, link);
	o->n_requests++;

	req->bev = bufferevent_socket_new(o->base, fd, 0);
	if (!req->bev)
		(void)close(fd);
	req->deadline = evtimer_new(o->base, on_deadline, req);
	if (!req->bev || !req->deadline) {
		request_free(req);
		return -ENOMEM;
	}
	bufferevent_setcb(req->bev, on_readable, on_written, on_event, req);
	/* Enough to tell that a request is too long, and no more. Not by a high watermark: libevent
	 * needs memory for that, and does not look whether it got it. */
	(void)bufferevent_set_max_single_read(req->bev, o->kind->request_max + 2); /* cannot fail */
	/* Without a deadline a silent client would stay for ever. */
	if (event_add(req->deadline, &client_patience) < 0 ||
	    bufferevent_enable(req->bev, EV_READ) < 0) {
		request_free(req);
		return -ENOMEM;
	}
	return 0;
}

/* Has the client that has taken longest to say what it wants make room, or else the one that has
 * taken longest to read its answer. False: all wait for theirs. */
static bool give_room(struct oneshot *o)
{
	struct oneshot_request *req, *slow = NULL;

	TAILQ_FOREACH (req, &o->requests, link) {
		if (req->state == REQUEST_READING || req->state == REQUEST_LINGERING)
			break;
		if (req->state == REQUEST_ANSWERING && !slow)
			slow = req;
	}
	req = req ? req : slow;
	if (req)
		request_free(req);
	return req;
}

static void accepted(struct oneshot *o, evutil_socket_t fd)
{
	int r;

	if (o->n_requests >= o->kind->clients_max && (o->kind->busy || !give_room(o))) {
		if (o->kind->busy)
			(void)send(fd, o->kind->busy, strlen(o->kind->busy),
				   MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)close(fd);
		return;
	}
	r = request_new(o, fd);
	if (r < 0)
		(void)log_errno(r, "cannot serve a client of %s", o->name);
}

static void on_accept(struct evconnlistener *listener _unused_, evutil_socket_t fd,
		      struct sockaddr *sa _unused_, int len _unused_, void *arg)
{
	accepted(arg, fd);
}

/* One client can be served when there is no descriptor left. */
static bool accept_by_reserve(struct oneshot *o, int err)
{
	int fd;

	if ((err != EMFILE && err != ENFILE) || o->reserve_fd < 0)
		return false;
	(void)close(o->reserve_fd);
	o->reserve_fd = -1;
	fd = accept4(evconnlistener_get_fd(o->listener), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		accepted(o, fd);
	return fd >= 0;
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct oneshot *o = arg;
	int err = errno;

	if (accept_by_reserve(o, err))
		return;
	/* The listener stays readable, so without a rest the loop would spin. */
	log_warn("cannot accept on %s, trying again in a second: %s", o->name, strerror(err));
	/* Without the timer it would rest for ever: rather let it spin. */
	if (event_add(o->accept_again, &accept_rest) == 0)
		(void)evconnlistener_disable(listener); /* fails: it is tried again at once */
}

static void on_accept_again(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct oneshot *o = arg;

	refill_reserve(o);
	/* Its timer has just given its place free: it has one again. */
	if (evconnlistener_enable(o->listener) < 0)
		(void)event_add(o->accept_again, &accept_rest);
}

/* ---- life ------------------------------------------------------------------------------- */

struct oneshot *oneshot_open(struct event_base *base, int fd, const char *name,
			     const struct oneshot_kind *kind, void *arg)
{
	struct oneshot *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	*o = (struct oneshot){.kind = kind, .arg = arg, .name = name, .base = base};
	TAILQ_INIT(&o->requests);
	/* Without one it is filled later. */
	o->reserve_fd = eventfd(0, EFD_CLOEXEC);
	o->accept_again = evtimer_new(base, on_accept_again, o);
	if (o->accept_again)
		o->listener = evconnlistener_new(
		    base, on_accept, o, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!o->listener) {
		oneshot_close(o);
		return NULL;
	}
	evconnlistener_set_error_cb(o->listener, on_accept_error);
	return o;
}

void oneshot_wait(struct oneshot *o)
{
	if (o)
		(void)evconnlistener_disable(o->listener); /* fails: then it accepts, and answers */
}

void oneshot_accept(struct oneshot *o)
{
	if (o && o->listener)
		on_accept_again(-1, 0, o);
}

void oneshot_stop(struct oneshot *o)
{
	if (!o)
		return;
	(void)event_del(o->accept_again); /* takes no memory */
	if (o->listener)
		evconnlistener_free(o->listener);
	o->listener = NULL;
}

/* Whoever runs it has its pointer, and will answer. */
static void orphan(struct oneshot_request *req)
{
	int fd = bufferevent_getfd(req->bev);

	TAILQ_REMOVE(&req->server->requests, req, link);
	req->server = NULL;
	event_free(req->deadline);
	req->deadline = NULL;
	(void)bufferevent_setfd(req->bev, -1);
	bufferevent_free(req->bev);
	req->bev = NULL;
	(void)close(fd);
}

void oneshot_close(struct oneshot *o)
{
	struct oneshot_request *req;

	if (!o)
		return;
	if (o->listener)
		evconnlistener_free(o->listener);
	o->listener = NULL;
	if (o->accept_again)
		event_free(o->accept_again);
	while ((req = TAILQ_FIRST(&o->requests))) {
		if (req->state == REQUEST_RUNNING)
			orphan(req);
		else
			request_free(req);
	}
	closep_(&o->reserve_fd);
	free(o);
}

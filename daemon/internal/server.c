/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small HTTP server for the quick start and the tests, in a thread and event base of its own. */
#include "server.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../log.h"
#include "../util.h"
#include "reply.h"

#define ECHO_BODY_MAX  ((ev_ssize_t)16 << 20)
#define HEADERS_MAX    16384
#define BACKLOG        128
#define IDLE_TIMEOUT_S 300

/* How long the listener rests when it cannot accept, and how often before it refuses somebody. */
static const struct timeval accept_rest = {.tv_usec = 100000};
#define RESTS_MAX 10

/*
 * The server of this thread. evhttp gives the callbacks of its listener a pointer of its own, and
 * has no way to ours.
 */
static _Thread_local struct internal *serving;

struct internal {
	struct event_base *base;
	struct evhttp *http;
	struct evconnlistener *listener; /* owned by http */
	struct event *accept_again;
	unsigned int rests; /* one after the other */
	int reserve_fd;     /* given up to accept somebody who is refused */
	struct event *stop;
	int stop_fd; /* an eventfd: the one thing that another thread touches */
	pthread_t thread;
	struct replies replies;
};

/* ---- the server ---- */

/* evhttp makes the connection itself. */
static struct bufferevent *on_accepted(struct event_base *base _unused_, void *arg)
{
	struct internal *h = arg;

	h->rests = 0;
	return NULL;
}

/*
 * Who waits here to be accepted may be what holds all the descriptors: sessions of this daemon,
 * with two each. One of them is refused, and so gives its own back.
 */
static void refuse_one(struct internal *h)
{
	int fd;

	if (h->reserve_fd >= 0)
		(void)close(h->reserve_fd);
	fd = accept4(evconnlistener_get_fd(h->listener), NULL, NULL, SOCK_CLOEXEC);
	h->reserve_fd = -1;
	/* The descriptor stays ours: sessions wait for one, and would not give it back. */
	if (fd >= 0 && dup3(h->stop_fd, fd, O_CLOEXEC) == fd)
		h->reserve_fd = fd;
	else if (fd >= 0)
		(void)close(fd);
	/* Taken by somebody else it may be had the next time. */
	if (h->reserve_fd < 0)
		h->reserve_fd = eventfd(0, EFD_CLOEXEC);
}

/* No descriptors left, say. The listener stays readable: without a rest this would spin. */
static void on_accept_error(struct evconnlistener *listener, void *evhttp _unused_)
{
	struct internal *h = serving;

	if (++h->rests > RESTS_MAX)
		refuse_one(h);
	/* Without the timer it would rest for ever: rather let it spin. */
	if (event_add(h->accept_again, &accept_rest) == 0)
		(void)evconnlistener_disable(listener); /* fails: it is tried again at once */
}

static void on_accept_again(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct internal *h = arg;

	/* Its timer has just given its place free: it has one again. */
	if (evconnlistener_enable(h->listener) < 0)
		(void)event_add(h->accept_again, &accept_rest);
}

static void on_stop(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct internal *h = arg;

	(void)event_base_loopbreak(h->base);
}

static void *internal_main(void *arg)
{
	struct internal *h = arg;

	serving = h;
	(void)event_base_dispatch(h->base);
	return NULL;
}

/* On success the caller owns *ret_fd. */
static int listen_on(const struct addr *want, int *ret_fd, struct addr *where)
{
	_cleanup_close_ int fd =
	    socket(want->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct addr got = {.len = sizeof(got) - offsetof(struct addr, sa)};
	int one = 1;

	/* A piece of a reply does not wait for the one before it to be acknowledged. */
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    bind(fd, &want->sa, want->len) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, &got.sa, &got.len) < 0)
		return -errno;
	*where = got;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int internal_listen(int *ret_fd, struct addr *where)
{
	struct addr v4 = {.len = sizeof(v4.in4)};
	struct addr v6 = {.len = sizeof(v6.in6)};

	v4.in4.sin_family = AF_INET;
	v4.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	v6.in6.sin6_family = AF_INET6;
	v6.in6.sin6_addr = in6addr_loopback;
	return listen_on(&v4, ret_fd, where) < 0 ? listen_on(&v6, ret_fd, where) : 0;
}

static int internal_set_up(struct internal *h, struct addr *where)
{
	static const int every_method = EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
					EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
					EVHTTP_REQ_TRACE | EVHTTP_REQ_PATCH;
	_cleanup_close_ int fd = -1;
	struct evhttp_bound_socket *bound;
	int r;

	h->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->reserve_fd = eventfd(0, EFD_CLOEXEC);
	if (h->stop_fd < 0 || h->reserve_fd < 0)
		return -errno;
	r = internal_listen(&fd, where);
	if (r < 0)
		return r;
	h->base = event_base_new();
	h->http = h->base ? evhttp_new(h->base) : NULL;
	if (!h->http)
		return -ENOMEM;
	h->stop = event_new(h->base, h->stop_fd, EV_READ, on_stop, h);
	h->accept_again = evtimer_new(h->base, on_accept_again, h);
	if (!h->stop || !h->accept_again || event_add(h->stop, NULL) < 0)
		return -ENOMEM;

	/* Every method comes to replies_answer(), which says which ones a path takes. */
	evhttp_set_allowed_methods(h->http, every_method);
	evhttp_set_max_headers_size(h->http, HEADERS_MAX);
	evhttp_set_max_body_size(h->http, ECHO_BODY_MAX);
	evhttp_set_timeout(h->http, IDLE_TIMEOUT_S);
	replies_init(&h->replies, h->base);
	evhttp_set_gencb(h->http, replies_answer, &h->replies);
	evhttp_set_bevcb(h->http, on_accepted, h);
	bound = evhttp_accept_socket_with_handle(h->http, fd);
	if (!bound)
		return -ENOMEM;
	(void)TAKE_FD(fd);
	h->listener = evhttp_bound_socket_get_listener(bound);
	evconnlistener_set_error_cb(h->listener, on_accept_error);
	return 0;
}

/* Starts the thread with every signal blocked: they are for the daemon's own threads, and a
 * blocked SIGPIPE leaves writev() with EPIPE. */
static int internal_start_thread(struct internal *h)
{
	sigset_t all;
	sigset_t saved;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &saved);
	r = pthread_create(&h->thread, NULL, internal_main, h);
	(void)pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return -r;
}

/* The thread is not running (any more). */
static void internal_free(struct internal *h)
{
	if (h->http)
		evhttp_free(h->http); /* and every reply, through on_close() */
	if (h->accept_again)
		event_free(h->accept_again);
	if (h->stop)
		event_free(h->stop);
	if (h->base)
		event_base_free(h->base);
	if (h->stop_fd >= 0)
		(void)close(h->stop_fd);
	if (h->reserve_fd >= 0)
		(void)close(h->reserve_fd);
	free(h);
}

struct internal *internal_start(struct addr *where)
{
	struct internal *h = calloc(1, sizeof(*h));
	int r = -ENOMEM;

	if (h) {
		h->stop_fd = h->reserve_fd = -1;
		r = internal_set_up(h, where);
	}
	if (r == 0)
		r = internal_start_thread(h);
	if (r < 0) {
		(void)log_errno(r, "cannot start the hello server");
		if (h)
			internal_free(h);
		return NULL;
	}
	return h;
}

void internal_stop(struct internal *h)
{
	const uint64_t one = 1;

	if (!h)
		return;
	/* Cannot fail: the counter of a new eventfd has room. */
	(void)!write(h->stop_fd, &one, sizeof(one));
	(void)pthread_join(h->thread, NULL);
	internal_free(h);
}

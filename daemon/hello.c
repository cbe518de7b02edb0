/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small HTTP server for the quick start and the tests, in a thread and event base of its own. */
#include "hello.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "log.h"

#define BYTES_MAX      (UINT64_C(1) << 40)
#define PERIOD         65536 /* of the pattern */
#define CHUNK          (UINT64_C(4) * PERIOD)
#define STREAM_LINES   3600
#define ECHO_BODY_MAX  ((ev_ssize_t)16 << 20)
#define HEADERS_MAX    16384
#define BACKLOG        128
#define IDLE_TIMEOUT_S 300

static const struct timeval stream_pause = {.tv_sec = 1};
static const struct timeval accept_rest = {.tv_usec = 100000};

static const char page[] = "This is the hello server inside spliced.\n"
			   "\n"
			   "  GET /            this page\n"
			   "  GET /bytes/N     N bytes of a repeating pattern (0 to 2^40)\n"
			   "  GET /stream      a line a second, for at most an hour\n"
			   "  POST or PUT /echo   your body back (up to 16 MiB)\n"
			   "\n"
			   "You are %s, port %u.\n";

/*
 * The server of this thread. evhttp gives the callbacks of its listener a pointer of its own, and
 * has no way to ours.
 */
static _Thread_local struct hello *serving;

struct hello {
	struct event_base *base;
	struct evhttp *http;
	struct evconnlistener *listener; /* owned by http */
	struct event *accept_again;
	struct event *stop;
	int stop_fd; /* an eventfd: the one thing that another thread touches */
	pthread_t thread;
	uint8_t pattern[PERIOD];
};

/* A reply that is sent piece by piece. */
struct reply {
	struct hello *hello;
	struct evhttp_request *req;
	struct event *timer; /* /stream only */
	uint64_t sent;       /* bytes, or lines */
	uint64_t total;
};

/* ---- whole replies ---- */

static struct bufferevent *bufferevent_of(struct evhttp_request *req)
{
	return evhttp_connection_get_bufferevent(evhttp_request_get_connection(req));
}

/*
 * Reading is off while a reply is sent: evhttp takes the end of the client's stream for the end of
 * the connection, where a client that has only half-closed still wants its reply; and what a client
 * sends ahead would pile up here. A client that is gone is noticed by writing. evhttp turns reading
 * on again after the reply, and at every piece of it.
 */
static void stop_reading(struct evhttp_request *req)
{
	(void)bufferevent_disable(bufferevent_of(req), EV_READ);
}

/* Sends body, or to HEAD only its length, as the whole reply. */
static void send_all(struct evhttp_request *req, int code, struct evbuffer *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	char length[24];

	(void)snprintf(length, sizeof(length), "%zu", evbuffer_get_length(body));
	(void)evhttp_add_header(headers, "Content-Length", length);
	if (evhttp_request_get_command(req) == EVHTTP_REQ_HEAD)
		body = NULL;
	evhttp_send_reply(req, code, NULL, body);
	stop_reading(req);
}

static void _printf_(3, 4) send_text(struct evhttp_request *req, int code, const char *fmt, ...)
{
	struct evbuffer *body = evbuffer_new();
	va_list args;

	if (!body) {
		evhttp_send_error(req, HTTP_INTERNAL, NULL);
		return;
	}
	(void)evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type",
				"text/plain; charset=utf-8");
	va_start(args, fmt);
	(void)evbuffer_add_vprintf(body, fmt, args);
	va_end(args);
	send_all(req, code, body);
	evbuffer_free(body);
}

static void send_page(struct evhttp_request *req)
{
	char *address = NULL;
	ev_uint16_t port = 0;

	evhttp_connection_get_peer(evhttp_request_get_connection(req), &address, &port);
	send_text(req, HTTP_OK, page, address ? address : "unknown", port);
}

static void send_echo(struct evhttp_request *req)
{
	const char *type =
	    evhttp_find_header(evhttp_request_get_input_headers(req), "Content-Type");

	(void)evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type",
				type ? type : "application/octet-stream");
	send_all(req, HTTP_OK, evhttp_request_get_input_buffer(req));
}

/* ---- replies in pieces ---- */

static void reply_free(struct reply *r)
{
	if (r->timer)
		event_free(r->timer);
	free(r);
}

/*
 * The connection goes down before the reply is complete. evhttp has let go of a request whose
 * client went away, and leaves it to us; at evhttp_free() the request is still the connection's.
 */
static void on_close(struct evhttp_connection *conn _unused_, void *arg)
{
	struct reply *r = arg;

	if (!evhttp_request_get_connection(r->req))
		evhttp_request_free(r->req);
	reply_free(r);
}

static struct reply *reply_new(struct hello *h, struct evhttp_request *req, uint64_t total)
{
	struct reply *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->hello = h;
	r->req = req;
	r->total = total;
	evhttp_connection_set_closecb(evhttp_request_get_connection(req), on_close, r);
	return r;
}

static void reply_end(struct reply *r)
{
	struct evhttp_request *req = r->req;

	evhttp_connection_set_closecb(evhttp_request_get_connection(req), NULL, NULL);
	reply_free(r);
	/* Last: where all is written already, this may free the connection. */
	evhttp_send_reply_end(req);
}

/* Everything up to here is with the kernel: the next piece. */
static void on_drained(struct evhttp_connection *conn _unused_, void *arg)
{
	struct reply *r = arg;
	uint64_t left = MIN(r->total - r->sent, CHUNK);
	struct evbuffer *piece;

	if (left == 0) {
		reply_end(r);
		return;
	}
	piece = evbuffer_new();
	while (piece && left > 0) {
		size_t at = r->sent % PERIOD;
		size_t n = MIN(left, PERIOD - at);

		/* A reference to the pattern, not a copy: it outlives every connection. */
		if (evbuffer_add_reference(piece, r->hello->pattern + at, n, NULL, NULL) < 0)
			break;
		r->sent += n;
		left -= n;
	}
	if (!piece || evbuffer_get_length(piece) == 0) {
		/* No memory: the client sees a reply that is too short. */
		if (piece)
			evbuffer_free(piece);
		evhttp_connection_free(evhttp_request_get_connection(r->req));
		return;
	}
	evhttp_send_reply_chunk_with_cb(r->req, piece, on_drained, r);
	stop_reading(r->req);
	evbuffer_free(piece);
}

/* Decimal digits up to BYTES_MAX and nothing else. */
static bool parse_count(const char *text, uint64_t *ret)
{
	uint64_t n = 0;

	if (*text == '\0')
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = n * 10 + (uint64_t)(*text - '0');
		if (n > BYTES_MAX)
			return false;
	}
	*ret = n;
	return true;
}

static void send_bytes(struct hello *h, struct evhttp_request *req, uint64_t n)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	bool head = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
	char length[24];
	struct reply *r;

	(void)snprintf(length, sizeof(length), "%" PRIu64, n);
	(void)evhttp_add_header(headers, "Content-Length", length);
	(void)evhttp_add_header(headers, "Content-Type", "application/octet-stream");
	if (head || n == 0) {
		evhttp_send_reply(req, HTTP_OK, NULL, NULL);
		stop_reading(req);
		return;
	}
	r = reply_new(h, req, n);
	if (!r) {
		evhttp_send_error(req, HTTP_INTERNAL, NULL);
		return;
	}
	evhttp_send_reply_start(req, HTTP_OK, NULL);
	on_drained(NULL, r);
}

static void on_second(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct reply *r = arg;
	struct evbuffer *line;

	if (r->sent == r->total) {
		reply_end(r);
		return;
	}
	line = evbuffer_new();
	if (line) {
		(void)evbuffer_add_printf(line, "line %" PRIu64 "\n", ++r->sent);
		evhttp_send_reply_chunk(r->req, line);
		stop_reading(r->req);
		evbuffer_free(line);
	}
	/* Without its timer the reply would stand still: the client sees that it is cut. */
	if (event_add(r->timer, &stream_pause) < 0)
		evhttp_connection_free(evhttp_request_get_connection(r->req));
}

static void send_stream(struct hello *h, struct evhttp_request *req)
{
	struct reply *r;

	(void)evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type",
				"text/plain; charset=utf-8");
	if (evhttp_request_get_command(req) == EVHTTP_REQ_HEAD) {
		evhttp_send_reply(req, HTTP_OK, NULL, NULL);
		stop_reading(req);
		return;
	}
	r = reply_new(h, req, STREAM_LINES);
	if (r)
		r->timer = evtimer_new(h->base, on_second, r);
	if (!r || !r->timer) {
		if (r) {
			evhttp_connection_set_closecb(evhttp_request_get_connection(req), NULL,
						      NULL);
			reply_free(r);
		}
		evhttp_send_error(req, HTTP_INTERNAL, NULL);
		return;
	}
	evhttp_send_reply_start(req, HTTP_OK, NULL);
	on_second(-1, 0, r);
}

/* ---- requests ---- */

enum path { PATH_ROOT, PATH_BYTES, PATH_STREAM, PATH_ECHO, PATH_UNKNOWN };

static enum path path_of(const char *path, uint64_t *ret_count)
{
	static const char bytes[] = "/bytes/";

	if (!path || *path == '\0' || strcmp(path, "/") == 0)
		return PATH_ROOT;
	if (strcmp(path, "/stream") == 0)
		return PATH_STREAM;
	if (strcmp(path, "/echo") == 0)
		return PATH_ECHO;
	if (strncmp(path, bytes, sizeof(bytes) - 1) == 0 &&
	    parse_count(path + sizeof(bytes) - 1, ret_count))
		return PATH_BYTES;
	return PATH_UNKNOWN;
}

static void on_request(struct evhttp_request *req, void *arg)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	enum evhttp_cmd_type method = evhttp_request_get_command(req);
	struct hello *h = arg;
	uint64_t count = 0;
	enum path path = path_of(uri ? evhttp_uri_get_path(uri) : NULL, &count);
	int allowed =
	    path == PATH_ECHO ? EVHTTP_REQ_POST | EVHTTP_REQ_PUT : EVHTTP_REQ_GET | EVHTTP_REQ_HEAD;
	const char *allow = path == PATH_ECHO ? "POST, PUT" : "GET, HEAD";

	if (path == PATH_UNKNOWN) {
		send_text(req, HTTP_NOTFOUND, "There is nothing here: see /\n");
		return;
	}
	if (!((int)method & allowed)) {
		(void)evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", allow);
		send_text(req, HTTP_BADMETHOD, "This path takes %s\n", allow);
		return;
	}
	switch (path) {
	case PATH_BYTES:
		send_bytes(h, req, count);
		break;
	case PATH_STREAM:
		send_stream(h, req);
		break;
	case PATH_ECHO:
		send_echo(req);
		break;
	case PATH_ROOT:
	case PATH_UNKNOWN:
		send_page(req);
		break;
	}
}

/* ---- the server ---- */

/* No descriptors left, say. The listener stays readable: without a rest this would spin. */
static void on_accept_error(struct evconnlistener *listener, void *evhttp _unused_)
{
	struct hello *h = serving;

	/* Without the timer it would rest for ever: rather let it spin. */
	if (event_add(h->accept_again, &accept_rest) == 0)
		(void)evconnlistener_disable(listener); /* fails: it is tried again at once */
}

static void on_accept_again(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct hello *h = arg;

	/* Its timer has just given its place free: it has one again. */
	if (evconnlistener_enable(h->listener) < 0)
		(void)event_add(h->accept_again, &accept_rest);
}

static void on_stop(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct hello *h = arg;

	(void)event_base_loopbreak(h->base);
}

static void *hello_main(void *arg)
{
	struct hello *h = arg;

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

static int hello_listen(int *ret_fd, struct addr *where)
{
	struct addr v4 = {.len = sizeof(v4.in4)};
	struct addr v6 = {.len = sizeof(v6.in6)};

	v4.in4.sin_family = AF_INET;
	v4.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	v6.in6.sin6_family = AF_INET6;
	v6.in6.sin6_addr = in6addr_loopback;
	return listen_on(&v4, ret_fd, where) < 0 ? listen_on(&v6, ret_fd, where) : 0;
}

static int hello_set_up(struct hello *h, struct addr *where)
{
	static const int every_method = EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
					EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
					EVHTTP_REQ_TRACE | EVHTTP_REQ_PATCH;
	_cleanup_close_ int fd = -1;
	struct evhttp_bound_socket *bound;
	int r;

	h->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->stop_fd < 0)
		return -errno;
	r = hello_listen(&fd, where);
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

	/* Every method comes to on_request(), which says which ones a path takes. */
	evhttp_set_allowed_methods(h->http, every_method);
	evhttp_set_max_headers_size(h->http, HEADERS_MAX);
	evhttp_set_max_body_size(h->http, ECHO_BODY_MAX);
	evhttp_set_timeout(h->http, IDLE_TIMEOUT_S);
	evhttp_set_gencb(h->http, on_request, h);
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
static int hello_start_thread(struct hello *h)
{
	sigset_t all;
	sigset_t saved;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &saved);
	r = pthread_create(&h->thread, NULL, hello_main, h);
	(void)pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return -r;
}

/* The thread is not running (any more). */
static void hello_free(struct hello *h)
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
	free(h);
}

struct hello *hello_start(struct addr *where)
{
	struct hello *h = calloc(1, sizeof(*h));
	int r = -ENOMEM;

	if (h) {
		for (uint32_t p = 0; p < PERIOD; p++)
			h->pattern[p] = (uint8_t)(p * 131 + (p >> 8) * 31 + 7);
		h->stop_fd = -1;
		r = hello_set_up(h, where);
	}
	if (r == 0)
		r = hello_start_thread(h);
	if (r < 0) {
		(void)log_errno(r, "cannot start the hello server");
		if (h)
			hello_free(h);
		return NULL;
	}
	return h;
}

void hello_stop(struct hello *h)
{
	const uint64_t one = 1;

	if (!h)
		return;
	/* Cannot fail: the counter of a new eventfd has room. */
	(void)!write(h->stop_fd, &one, sizeof(one));
	(void)pthread_join(h->thread, NULL);
	hello_free(h);
}

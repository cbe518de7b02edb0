// SPDX-License-Identifier: GPL-2.0-or-later
#include "reply.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "../util.h"

#define BYTES_MAX    (UINT64_C(1) << 40)
#define CHUNK        (UINT64_C(4) * PERIOD)
#define STREAM_LINES 3600

static const struct timeval stream_pause = {.tv_sec = 1};

static const char page[] = "This is the hello server inside spliced.\n"
			   "\n"
			   "  GET /            this page\n"
			   "  GET /bytes/N     N bytes of a repeating pattern (0 to 2^40)\n"
			   "  GET /stream      a line a second, for at most an hour\n"
			   "  POST or PUT /echo   your body back (up to 16 MiB)\n"
			   "\n"
			   "You are %s, port %u.\n";

/* A reply that is sent piece by piece. */
struct reply {
	const struct replies *replies;
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

static struct reply *reply_new(const struct replies *from, struct evhttp_request *req,
			       uint64_t total)
{
	struct reply *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->replies = from;
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
		if (evbuffer_add_reference(piece, r->replies->pattern + at, n, NULL, NULL) < 0)
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

static void send_bytes(const struct replies *from, struct evhttp_request *req, uint64_t n)
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
	r = reply_new(from, req, n);
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

static void send_stream(const struct replies *from, struct evhttp_request *req)
{
	struct reply *r;

	(void)evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type",
				"text/plain; charset=utf-8");
	if (evhttp_request_get_command(req) == EVHTTP_REQ_HEAD) {
		evhttp_send_reply(req, HTTP_OK, NULL, NULL);
		stop_reading(req);
		return;
	}
	r = reply_new(from, req, STREAM_LINES);
	if (r)
		r->timer = evtimer_new(from->base, on_second, r);
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

void replies_answer(struct evhttp_request *req, void *arg)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	enum evhttp_cmd_type method = evhttp_request_get_command(req);
	const struct replies *from = arg;
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
		send_bytes(from, req, count);
		break;
	case PATH_STREAM:
		send_stream(from, req);
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

void replies_init(struct replies *r, struct event_base *base)
{
	r->base = base;
	for (uint32_t p = 0; p < PERIOD; p++)
		r->pattern[p] = (uint8_t)(p * 131 + (p >> 8) * 31 + 7);
}

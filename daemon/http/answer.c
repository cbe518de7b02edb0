// SPDX-License-Identifier: GPL-2.0-or-later
/* Responses of the proxy's own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../listener.h"
#include "../upstream/idle.h"
#include "date.h"
#include "out.h"
#include "rewrite.h"

/* What can be asked of whatever is behind a proxy. */
#define ALLOW "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH\r\n"

/* How long a client has for the last bytes of a response that is cut. */
#define FAREWELL_NS (2 * NSEC_PER_SEC)

/* What an end is to the client: a status and a sentence; 0: it gets no response. */
static const struct {
	uint16_t status;
	const char *reason, *text;
} answers[_HTTP_END_MAX] = {
    [HTTP_END_BAD_REQUEST] = {400, "Bad Request", "The request is not valid HTTP."},
    [HTTP_END_DENIED] = {403, "Forbidden", "You may not use this service."},
    [HTTP_END_NO_ROUTE] = {404, "Not Found", "Nothing is configured for this address."},
    [HTTP_END_HEAD_TIMEOUT] = {408, "Request Timeout", "The request did not come in time."},
    [HTTP_END_NO_TUNNEL] = {405, "Method Not Allowed", "There is no tunnel here."},
    [HTTP_END_REQUEST_TIMEOUT] = {408, "Request Timeout", "The request did not come in time."},
    [HTTP_END_BODY_TOO_LARGE] = {413, "Content Too Large", "The request's body is too large."},
    [HTTP_END_MISDIRECTED] = {421, "Misdirected Request", "This host is not served here."},
    [HTTP_END_HEAD_TOO_LARGE] = {431, "Request Header Fields Too Large",
				 "The request's head is too large."},
    [HTTP_END_TOO_MANY_FIELDS] = {431, "Request Header Fields Too Large",
				  "The request has too many header fields."},
    [HTTP_END_CONNECT_FAILED] = {502, "Bad Gateway", "No server could be connected."},
    [HTTP_END_BAD_RESPONSE] = {502, "Bad Gateway", "The server's response is not valid HTTP."},
    [HTTP_END_SERVER_RESET] = {502, "Bad Gateway", "The server closed the connection."},
    [HTTP_END_SERVER_LOST] = {504, "Gateway Timeout", "The server answers no more."},
    [HTTP_END_NO_SERVER] = {503, "Service Unavailable", "No server is available."},
    [HTTP_END_LIMIT] = {503, "Service Unavailable", "The proxy has no room."},
    [HTTP_END_RESPONSE_TIMEOUT] = {504, "Gateway Timeout", "The server did not answer in time."},
};

/* What is wrong with a request may have a status of its own. */
static const char *bad_request(const struct http *h, unsigned int *status)
{
	*status = (unsigned int)http_error_status(h->refused);
	switch (*status) {
	case 414:
		return "URI Too Long";
	case 501:
		return "Not Implemented";
	case 505:
		return "HTTP Version Not Supported";
	default:
		*status = 400;
		return "Bad Request";
	}
}

/* Behind an interim response that the client has not taken yet. 0 or a negative errno. */
static int write_answer(struct session *s, enum http_end end)
{
	const struct http_request *r = s->http->request;
	bool head = r && r->method_id == METHOD_HEAD;
	char text[512];
	struct iovec iov = {.iov_base = text};
	const char *name = answers[end].reason;
	unsigned int status = answers[end].status;
	int n;

	if (end == HTTP_END_BAD_REQUEST && s->http->refused)
		name = bad_request(s->http, &status);
	if (s->http->request)
		s->http->request->status = (uint16_t)status;
	s->http->status = (uint16_t)status;

	n = snprintf(text, sizeof(text),
		     "HTTP/1.1 %u %s\r\n"
		     "Date: %s\r\n"
		     "%s"
		     "Content-Type: text/plain; charset=utf-8\r\n"
		     "Content-Length: %zu\r\n"
		     "Connection: close\r\n"
		     "\r\n"
		     "%s%s",
		     status, name, http_date(s->home), status == 405 ? ALLOW : "",
		     strlen(answers[end].text) + 1, head ? "" : answers[end].text,
		     head ? "" : "\n");
	iov.iov_len = (size_t)n;
	return http_write_behind(s, SIDE_CLIENT, &iov, 1);
}

/* What the client gets is written, or kept to be: the connection ends with it. */
static void answered(struct session *s, enum http_end end)
{
	struct http *h = s->http;

	http_release_server(s, false);
	if (!http_goes_on(s))
		return;
	http_record(s, end);
	h->close = true;
	h->polite = false;
	http_enter(s, HTTP_CLOSING);
	http_silence(s, s->listener->config->response_timeout);
	stream_again(&s->streams[DOWN]);
}

void http_answer(struct session *s, enum http_end end)
{
	struct http *h = s->http;
	int err;

	if (h->phase == HTTP_ANSWERING || !answers[end].status) {
		http_abort(s, end);
		return;
	}
	if (h->phase >= HTTP_CLOSING || !http_goes_on(s))
		return;
	err = write_answer(s, end);
	if (err) {
		http_abort(s, err == -ENOMEM || err == -ENOBUFS ? HTTP_END_LIMIT
								: HTTP_END_CLIENT_RESET);
		return;
	}
	answered(s, end);
}

void http_answer_as_last(struct session *s, const struct http_head *head, const char *in)
{
	bool trace = head->method_id == METHOD_TRACE;
	size_t n = trace ? rewrite_trace(head, in, s->home->scratch, HOME_SCRATCH) : 0;
	char text[512];
	struct iovec iov[2] = {{.iov_base = text}, {.iov_base = s->home->scratch, .iov_len = n}};

	s->http->request->status = 200;
	iov[0].iov_len = (size_t)snprintf(text, sizeof(text),
					  "HTTP/1.1 200 OK\r\n"
					  "Date: %s\r\n"
					  "%s"
					  "Content-Length: %zu\r\n"
					  "Connection: close\r\n"
					  "\r\n",
					  http_date(s->home),
					  trace ? "Content-Type: message/http\r\n" : ALLOW, n);
	if (http_write(s, SIDE_CLIENT, iov, 2) < 0) {
		http_abort(s, HTTP_END_CLIENT_RESET);
		return;
	}
	answered(s, HTTP_END_DONE);
}

void http_say_nothing(struct session *s)
{
	idle_note_end(s->home->idle, s->conns[SIDE_BACKEND]);
	answered(s, HTTP_END_SERVER_RESET);
}

static enum session_end session_end_of(enum http_end end)
{
	switch (end) {
	case HTTP_END_CLIENT_RESET:
		return END_CLIENT_RESET;
	case HTTP_END_CLIENT_LOST:
		return END_CLIENT_LOST;
	case HTTP_END_SERVER_LOST:
		return END_SERVER_LOST;
	case HTTP_END_CLIENT_CLOSED:
		return END_CLIENT_CLOSED;
	case HTTP_END_SERVER_RESET:
		return END_SERVER_RESET;
	case HTTP_END_RESPONSE_TIMEOUT:
	case HTTP_END_REQUEST_TIMEOUT:
		return END_IDLE_TIMEOUT;
	case HTTP_END_INTEGRITY:
		return END_INTEGRITY;
	case HTTP_END_SHUTDOWN:
		return END_SHUTDOWN;
	case HTTP_END_KILLED:
		return END_KILLED;
	case HTTP_END_LIMIT:
		return END_LIMIT;
	default:
		return END_ERROR;
	}
}

/* The request is recorded when the session ends, which is now or when the last bytes are delivered.
 */
static void cut(struct session *s, enum http_end end)
{
	s->http->cut = true;
	s->http->cut_end = end;
}

void http_cut(struct session *s, enum http_end end)
{
	if (!http_goes_on(s))
		return;
	cut(s, end);
	http_release_server(s, false);
	if (!http_goes_on(s))
		return;
	s->end = session_end_of(end);
	http_enter(s, HTTP_CLOSING);
	http_deadline(s, FAREWELL_NS);
	http_pump_closing(s);
}

void http_abort(struct session *s, enum http_end end)
{
	if (!http_goes_on(s))
		return;
	if (http_is_answered(s)) {
		http_leave(s, end);
		return;
	}
	cut(s, end);
	session_end(s, session_end_of(end));
}

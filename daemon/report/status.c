// SPDX-License-Identifier: GPL-2.0-or-later
#include "status.h"

#include <errno.h>
#include <event2/buffer.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "../config/config.h"
#include "../daemon.h"
#include "../http/parse.h"
#include "../log.h"
#include "../memory.h"
#include "../parent/link.h"
#include "../privileges.h"
#include "../tally.h"
#include "../worker.h"
#include "metrics.h"
#include "oneshot.h"
#include "page.h"

#define CLIENTS_MAX 32
#define HEAD_MAX    8192
#define FIELDS_MAX  64
#define BACKLOG     128

#define TEXT_PLAIN   "text/plain; charset=utf-8"
#define TEXT_METRICS "text/plain; version=0.0.4; charset=utf-8"
#define TEXT_HTML    "text/html; charset=utf-8"
#define TEXT_JSON    "application/json"

/* Nothing but what the page brings along, and questions to where it came from. */
#define PAGE_POLICY                                                                     \
	"Content-Security-Policy: default-src 'none'; style-src 'nonce-%1$s'; "         \
	"script-src 'nonce-%1$s'; connect-src 'self'; img-src data:; base-uri 'none'; " \
	"form-action 'none'; frame-ancestors 'none'\r\nReferrer-Policy: no-referrer\r\n"

struct status {
	struct status_sources from;
	struct addr where;
	char name[ADDR_STR_MAX];
	struct oneshot *server;
};

/* What a client is told. */
struct answer {
	const char *status; /* code and reason */
	const char *type;
	char fields[512]; /* further ones, each with CR LF */
	char *body;       /* malloc'ed; NULL: there was no memory for it */
	size_t len;
};

struct page {
	const char *path;
	void (*make)(const struct status *s, bool complete, struct answer *ret);
	bool at_once; /* it says nothing that the workers count */
};

/* One client's question, on its way through the workers. */
struct question {
	struct tally_wait wait;
	struct oneshot_request *request;
	const struct status *status;
	const struct page *page;
	bool head_only;
};

/* ---- answers ---------------------------------------------------------------------------- */

static void say(struct answer *a, const char *fmt, ...) _printf_(2, 3);
static void say(struct answer *a, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vasprintf(&a->body, fmt, args);
	va_end(args);
	if (n < 0)
		a->body = NULL;
	a->len = n < 0 ? 0 : (size_t)n;
}

static const char *http_time(char buf[40])
{
	time_t now = time(NULL);
	struct tm tm;

	if (!gmtime_r(&now, &tm) || !strftime(buf, 40, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		return "Thu, 01 Jan 1970 00:00:00 GMT";
	return buf;
}

static void free_body(const void *data, size_t len _unused_, void *arg _unused_)
{
	free((void *)(uintptr_t)data);
}

/* Sends it, or with `head_only` its head; takes the body. */
static void send_answer(struct oneshot_request *req, struct answer *a, bool head_only)
{
	struct evbuffer *out = oneshot_output(req);
	char date[40];

	if (!a->body) {
		a->status = "503 Service Unavailable";
		a->len = 0;
	}
	if (out)
		(void)evbuffer_add_printf(out,
					  "HTTP/1.1 %s\r\nDate: %s\r\nContent-Type: %s\r\n"
					  "Content-Length: %zu\r\nCache-Control: no-store\r\n"
					  "X-Content-Type-Options: nosniff\r\n%s"
					  "Connection: close\r\n\r\n",
					  a->status, http_time(date), a->type, a->len, a->fields);
	if (!out || head_only || !a->len ||
	    evbuffer_add_reference(out, a->body, a->len, free_body, NULL) < 0)
		free(a->body);
	oneshot_answer(req);
}

static void refuse(struct oneshot_request *req, bool head_only, const char *status,
		   const char *fields, const char *text)
{
	struct answer a = {.status = status, .type = TEXT_PLAIN};

	(void)snprintf(a.fields, sizeof(a.fields), "%s", fields);
	say(&a, "%s\n", text);
	send_answer(req, &a, head_only);
}

/* ---- pages ------------------------------------------------------------------------------ */

static void make_metrics(const struct status *s, bool complete _unused_, struct answer *ret)
{
	ret->type = TEXT_METRICS;
	ret->body = metrics_text(s->from.metrics, &ret->len);
}

/* The first worker that has not answered; NULL: all have. */
static const struct worker *silent_worker(const struct daemon *d)
{
	for (unsigned int i = 0; i < d->n_workers; i++)
		if (!tally_answered(&d->workers[i]))
			return &d->workers[i];
	return NULL;
}

static void unavailable(struct answer *ret)
{
	ret->status = "503 Service Unavailable";
}

/* Whether all workers answer; if not, that is the answer. */
static bool is_alive(const struct status *s, bool complete, struct answer *ret)
{
	const struct worker *silent = complete ? NULL : silent_worker(s->from.daemon);

	if (!silent)
		return true;
	unavailable(ret);
	say(ret, "worker/%u does not answer\n", silent->index);
	return false;
}

static void make_health(const struct status *s, bool complete, struct answer *ret)
{
	if (is_alive(s, complete, ret))
		say(ret, "ok\n");
}

/* Why clients that come now are not served; NULL: they are. */
static const char *why_not_ready(struct daemon *d)
{
	if (daemon_is_ending(d))
		return "draining";
	if (slots_used(&d->slots) >= d->config->max_sessions)
		return "max_sessions is reached";
	return memory_refuses(&d->memory) ? "memory_max is near" : NULL;
}

static void make_ready(const struct status *s, bool complete, struct answer *ret)
{
	const char *why = why_not_ready(s->from.daemon);

	if (!why) {
		if (is_alive(s, complete, ret))
			say(ret, "ready\n");
		return;
	}
	unavailable(ret);
	say(ret, "%s\n", why);
}

static void make_page(const struct status *s _unused_, bool complete _unused_, struct answer *ret)
{
	char nonce[PAGE_NONCE_MAX];

	page_nonce(nonce);
	(void)snprintf(ret->fields, sizeof(ret->fields), PAGE_POLICY, nonce);
	ret->type = TEXT_HTML;
	ret->body = page_html(nonce, &ret->len);
}

static void make_json(const struct status *s, bool complete, struct answer *ret)
{
	const struct worker *silent = complete ? NULL : silent_worker(s->from.daemon);
	const char *why = why_not_ready(s->from.daemon);
	char text[64] = "";

	if (silent)
		(void)snprintf(text, sizeof(text), "worker/%u does not answer", silent->index);
	ret->type = TEXT_JSON;
	ret->body =
	    page_json(s->from.daemon, s->from.doctor, &s->where, why ? why : text, &ret->len);
}

static const struct page pages[] = {
    {"/", make_page, true},
    {"/status.json", make_json, false},
    {"/metrics", make_metrics, false},
    {"/healthz", make_health, false},
    {"/readyz", make_ready, false},
};

/* ---- requests --------------------------------------------------------------------------- */

static void answer(const struct status *s, struct oneshot_request *req, const struct page *page,
		   bool head_only, bool complete)
{
	struct answer a = {.status = "200 OK", .type = TEXT_PLAIN};

	/* Of a client that has gone: the server may have, too. */
	if (oneshot_output(req))
		page->make(s, complete, &a);
	send_answer(req, &a, head_only);
}

static void on_tallied(struct tally_wait *w, bool complete)
{
	struct question *q = container_of(w, struct question, wait);

	answer(q->status, q->request, q->page, q->head_only, complete);
	free(q);
}

static void ask(const struct status *s, struct oneshot_request *req, const struct page *page,
		bool head_only)
{
	struct question *q;

	if (page->at_once) {
		answer(s, req, page, head_only, true);
		return;
	}
	q = calloc(1, sizeof(*q));
	if (!q) {
		refuse(req, head_only, "503 Service Unavailable", "", "out of memory");
		return;
	}
	*q = (struct question){.wait.done = on_tallied,
			       .request = req,
			       .status = s,
			       .page = page,
			       .head_only = head_only};
	tally_ask(s->from.tally, &q->wait);
}

/* A path without its query. */
static const struct page *find_page(const char *head, struct http_slice path)
{
	const char *text = head + path.at, *query = memchr(text, '?', path.len);
	size_t len = query ? (size_t)(query - text) : path.len;

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		if (strlen(pages[i].path) == len && memcmp(pages[i].path, text, len) == 0)
			return &pages[i];
	return NULL;
}

static void on_request(struct oneshot_request *req, char *data, size_t len, void *arg)
{
	static const struct http_limits limits = {.head_max = HEAD_MAX, .fields_max = FIELDS_MAX};
	struct http_field fields[FIELDS_MAX];
	struct http_scan scan = {0};
	struct http_head head;
	const struct page *page;
	int n = http_request_parse(data, len, &scan, &limits, fields, &head);
	bool head_only = len > 5 && memcmp(data, "HEAD ", 5) == 0; /* whatever else is wrong */

	if (n <= 0) {
		refuse(req, head_only,
		       n == 0 || n == -HTTP_HEAD_TOO_LARGE ? "431 Request Header Fields Too Large"
							   : "400 Bad Request",
		       "", n < 0 ? http_error_str[-n] : "the head is too large");
		return;
	}
	page = find_page(data, head.path);
	if (!page)
		refuse(req, head_only, "404 Not Found", "",
		       "there is /, /status.json, /metrics, /healthz and /readyz");
	else if (head.method_id != METHOD_GET && head.method_id != METHOD_HEAD)
		refuse(req, head_only, "405 Method Not Allowed", "Allow: GET, HEAD\r\n",
		       "GET or HEAD");
	else
		ask(arg, req, page, head_only);
}

/* It ends with an empty line, whichever line ends it has: the parser says what is wrong. */
static size_t head_length(const char *data, size_t len, bool ended _unused_)
{
	const char *crlf, *lf;
	size_t at = 0;

	while (at < len && (data[at] == '\r' || data[at] == '\n'))
		at++;
	crlf = memmem(data + at, len - at, "\r\n\r\n", 4);
	lf = memmem(data + at, len - at, "\n\n", 2);
	if (lf && (!crlf || lf < crlf))
		return (size_t)(lf - data) + 2;
	return crlf ? (size_t)(crlf - data) + 4 : 0;
}

static const struct oneshot_kind status_kind = {
    .length = head_length,
    .run = on_request,
    .clients_max = CLIENTS_MAX,
    .request_max = HEAD_MAX,
    .lingers = true,
};

/* ---- the socket ------------------------------------------------------------------------- */

/* On success the caller owns *ret_fd. */
static int listen_at(struct link *link, struct addr *where, int *ret_fd)
{
	struct bind_request r = {.addr = *where, .stays = true};
	char text[ADDR_STR_MAX];
	struct message_held held;
	struct bound bound;
	const char *call;
	int one = 1, err;

	(void)snprintf(r.name, sizeof(r.name), "status %s", addr_format(where, text));
	err = link_hold(link, &r, &bound, &held, &call);
	if (err)
		return err;
	if (setsockopt(bound.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    listen(bound.fd, BACKLOG) < 0) {
		err = -errno;
		bound_close(&bound);
		return err;
	}
	*where = bound.addr;
	*ret_fd = bound.fd;
	return 0;
}

int status_open(struct event_base *base, const struct addr *where, const char *from,
		const struct status_sources *sources, struct status **ret)
{
	struct status *s = calloc(1, sizeof(*s));
	_cleanup_close_ int fd = -1;
	char text[ADDR_STR_MAX];
	int err = -ENOMEM;

	if (s) {
		*s = (struct status){.from = *sources, .where = *where};
		err = listen_at(sources->daemon->link, &s->where, &fd);
	}
	if (!err) {
		(void)addr_format(&s->where, s->name);
		s->server = oneshot_open(base, fd, s->name, &status_kind, s);
		err = s->server ? 0 : -ENOMEM;
	}
	if (err) {
		free(s);
		return log_errno(err, "%s: status = %s%s", from, addr_format(where, text),
				 privileges_for_bind(where, err));
	}
	(void)TAKE_FD(fd);
	*ret = s;
	return 0;
}

struct oneshot *status_server(const struct status *s)
{
	return s ? s->server : NULL;
}

const struct addr *status_address(const struct status *s)
{
	return &s->where;
}

void status_close(struct status *s)
{
	if (!s)
		return;
	oneshot_close(s->server);
	free(s);
}

// SPDX-License-Identifier: GPL-2.0-or-later
/* A request's head: what it asks for, and of whom. */
#include <errno.h>
#include <string.h>

#include "../listener.h"
#include "../log.h"
#include "../route.h"
#include "../sniff/waiting.h"
#include "../stats.h"
#include "field.h"
#include "input.h"
#include "parse.h"
#include "rewrite.h"
#include "syntax.h"

/* What of a path the access log shows. */
#define LOG_PATH_MAX 2048

/* ---- routing ---------------------------------------------------------------------------- */

struct head_view {
	const struct http_head *head;
	const char *in;
};

static bool has_field(void *arg, const char *name, const char *value)
{
	const struct head_view *v = arg;

	for (unsigned int i = 0; i < v->head->n_fields; i++) {
		const struct http_field *f = &v->head->fields[i];

		/* An absolute form says what Host is sent. */
		const struct http_slice *has =
		    f->id == FIELD_HOST && v->head->has_host ? &v->head->host : &f->value;

		if (f->name.len == strlen(name) &&
		    strncasecmp(v->in + f->name.at, name, f->name.len) == 0 &&
		    (!value ||
		     (has->len == strlen(value) && memcmp(v->in + has->at, value, has->len) == 0)))
			return true;
	}
	return false;
}

/*
 * The target in a head for the server, without its method: what is routed and logged is what is
 * sent, also where an absolute form has left the path out. There is no blank in it.
 */
static const char *written_target(const char *out, size_t method_len, size_t *len)
{
	const char *target = out + method_len + 1;

	*len = (size_t)((const char *)rawmemchr(target, ' ') - target);
	return target;
}

static struct pool *choose(struct session *s, const struct http_head *head, const char *in,
			   bool *known_host)
{
	struct head_view view = {head, in};
	char host[256] = "";
	struct route_query q = {.src = &s->client_conn.peer, .header = has_field, .arg = &view};
	struct addr local;
	struct pool *pool;

	if (s->listener->asks_destination)
		q.dst = session_destination(s, &local);
	if (head->has_host) {
		http_host_name(in + head->host.at, head->host.len, host, sizeof(host));
		q.host = host;
	}
	q.path = written_target(http_head_of(s->http->request), head->method.len, &q.path_len);
	if (head->form == TARGET_AUTHORITY)
		q.path_len = 0;
	q.method = in + head->method.at;
	q.method_len = head->method.len;
	pool = listener_route(s->listener, &q);
	*known_host = pool || routes_know_host(s->listener->routes, q.host);
	return pool;
}

/* ---- the head --------------------------------------------------------------------------- */

static bool is_idempotent(enum http_method method)
{
	switch (method) {
	case METHOD_GET:
	case METHOD_HEAD:
	case METHOD_PUT:
	case METHOD_DELETE:
	case METHOD_OPTIONS:
	case METHOD_TRACE:
		return true;
	default:
		return false;
	}
}

/* Returns where the next one goes: behind the NUL. */
static char *add_text(char *at, const char *text, size_t len)
{
	at = mempcpy(at, text, len);
	*at++ = '\0';
	return at;
}

/* The request object, with what the log shows and the head for the server in it. NULL: *why. */
static struct http_request *make_request(struct session *s, const struct http_head *head,
					 const char *in, enum http_end *why)
{
	struct home *h = s->home;
	struct trace trace;
	struct http_request *r;
	const char *path; /* CONNECT has none: what it asks for is shown */
	size_t n, path_len;
	char *at;

	trace_of(s->listener->config, head, in, &trace);
	n = rewrite_request(s, head, &trace, in, h->scratch, HOME_SCRATCH);
	*why = n ? HTTP_END_LIMIT : HTTP_END_HEAD_TOO_LARGE;
	if (!n)
		return NULL;
	path = written_target(h->scratch, head->method.len, &path_len);
	path_len = MIN(path_len, (size_t)LOG_PATH_MAX);
	r = malloc(sizeof(*r) + head->method.len + head->host.len + path_len + 3 + n);
	if (!r)
		return NULL;
	*r = (struct http_request){
	    .id = atomic_fetch_add(h->last_id, 1) + 1,
	    .began_ns = s->http->began_ns,
	    .method_id = head->method_id,
	    .minor = head->minor,
	    .upgrade = head->upgrade,
	    .expect = head->expect_continue,
	    .method_len = head->method.len,
	    .host_len = head->has_host ? head->host.len : 0,
	    .path_len = (uint32_t)path_len,
	    .head_len = (uint32_t)n,
	};
	(void)memcpy(r->trace, trace.id, sizeof(r->trace));
	at = add_text(r->text, in + head->method.at, r->method_len);
	at = add_text(at, in + head->host.at, r->host_len);
	at = add_text(at, path, r->path_len);
	memcpy(at, h->scratch, n);
	return r;
}

/* 0 or -ENOMEM. */
static int begin_body(struct session *s, const struct http_head *head, const char *in)
{
	const struct listener_config *c = s->listener->config;
	struct trailer_rules *t = &s->http->trailers[UP];
	struct http_body *b = &s->http->body[UP];

	if (trailer_rules_set(t, head, in) < 0)
		return -ENOMEM;
	t->request_id = c->request_id;
	t->no_underscores = !c->underscores_in_headers;

	if (head->chunked)
		body_begin(b, BODY_CHUNKED, 0);
	else if (head->has_length)
		body_begin(b, BODY_LENGTH, head->content_length);
	else
		body_begin(b, BODY_NONE, 0);
	b->trailers = t;
	body_begin(&s->http->body[DOWN], BODY_NONE, 0);
	s->http->body[DOWN].done = false;
	return 0;
}

/* Whether anything is asked for that is not HTTP/2: without that the request is forwarded without
 * its Upgrade. */
static bool asks_for_others(const struct http_head *head, const char *in)
{
	for (unsigned int i = 0; i < head->n_fields; i++) {
		struct http_slice rest = head->fields[i].value, protocol;

		if (head->fields[i].id != FIELD_UPGRADE)
			continue;
		while (list_next(in, &rest, &protocol))
			if (protocol.len && !http_upgrade_is_h2(in + protocol.at, protocol.len))
				return true;
	}
	return false;
}

/* CONNECT has no body that means anything (RFC 9110, 9.3.6). */
static void refuse_body(struct session *s)
{
	s->http->refused = HTTP_BAD_LENGTH;
	stat_inc(&s->home->stats->http_errors[HTTP_BAD_LENGTH]);
	http_answer(s, HTTP_END_BAD_REQUEST);
}

static enum http_end no_pool(const struct http *h, bool known_host)
{
	if (h->request->method_id == METHOD_CONNECT)
		return HTTP_END_NO_TUNNEL;
	return known_host ? HTTP_END_NO_ROUTE : HTTP_END_MISDIRECTED;
}

/* Who was denied from the beginning is counted already. */
static void turn_away(struct session *s)
{
	if (s->http->newly_denied)
		stat_inc(&s->home->stats->denied);
	s->http->newly_denied = false;
	http_answer(s, HTTP_END_DENIED);
}

/* A head is complete, and nothing is wrong with it. The pool, or NULL: it was answered. */
static struct pool *accept_head(struct session *s, const struct http_head *head, const char *in)
{
	const struct listener_config *c = s->listener->config;
	struct http *h = s->http;
	struct pool *pool;
	enum http_end why;
	bool known_host;

	h->n_requests++;
	stat_inc(&s->home->stats->http_requests);
	sniff_done(s);
	h->request = make_request(s, head, in, &why);
	if (!h->request) {
		http_answer(s, why);
		return NULL;
	}
	h->close = h->close || !head->keep_alive || s->home->drain != DRAIN_NONE;
	if (begin_body(s, head, in) < 0) {
		http_answer(s, HTTP_END_LIMIT);
		return NULL;
	}
	h->request->identifies = http_identifies(head, in);
	h->request->idempotent = is_idempotent(h->request->method_id);
	h->request->last = !head->keep_alive;
	pool = choose(s, head, in, &known_host);
	if (s->denied)
		turn_away(s);
	else if (h->request->method_id == METHOD_CONNECT && !h->body[UP].done)
		refuse_body(s); /* the bytes behind it would be the tunnel's to one, and the body's
				   to another */
	else if (head->has_max_forwards && head->max_forwards == 0)
		http_answer_as_last(s, head, in);
	else if (!pool)
		http_answer(s, no_pool(h, known_host));
	else if (h->n_requests == 1 && session_finds_no_room(s))
		http_answer(s, HTTP_END_LIMIT);
	else if (c->body_max && head->has_length && head->content_length > c->body_max)
		http_answer(s, HTTP_END_BODY_TOO_LARGE);
	else
		return pool;
	return NULL;
}

static void refuse_head(struct session *s, enum http_error error)
{
	s->http->n_requests++;
	stat_inc(&s->home->stats->http_requests);
	stat_inc(&s->home->stats->http_errors[error]);
	log_session(LOG_LVL_DEBUG, s->id, ": request: %s", http_error_str[error]);
	sniff_done(s);
	s->http->refused = error;
	if (error == HTTP_TOO_MANY_FIELDS)
		http_answer(s, HTTP_END_TOO_MANY_FIELDS);
	else
		http_answer(s, error == HTTP_HEAD_TOO_LARGE ? HTTP_END_HEAD_TOO_LARGE
							    : HTTP_END_BAD_REQUEST);
}

/* The client has ended. Between two requests that is how it should be. */
static void client_ended(struct session *s)
{
	bool failed = s->conns[SIDE_CLIENT]->failed;

	s->polite = !failed;
	if (s->http->phase == HTTP_HEAD)
		http_abort(s, failed ? HTTP_END_CLIENT_RESET : HTTP_END_CLIENT_CLOSED);
	else
		session_end(s, failed ? END_CLIENT_RESET
				      : (s->http->n_requests ? END_DONE : END_CLIENT_CLOSED));
}

static void head_incomplete(struct session *s)
{
	if (s->http->phase != HTTP_IDLE)
		return;
	conn_ack_at_once(s->client_conn.fd);
	http_enter(s, HTTP_HEAD);
	s->http->began_ns = s->home->loop->now;
	http_deadline(s, s->listener->config->head_timeout);
}

static void send_to(struct session *s, struct pool *pool)
{
	struct http_request *r = s->http->request;

	s->pool = r->pool = pool;
	r->dialled_ns = s->home->loop->now;
	http_enter(s, HTTP_CONNECTING);
	if (!http_give_up(s))
		http_dial(s);
}

/* Line ends behind the last body are no request that has begun; what follows them will be one. */
static bool is_empty_lines(const struct input *in)
{
	static const char lines[] = "\r\n\r\n";

	return in->len <= (size_t)2 * HTTP_EMPTY_LINES && memcmp(in->data, lines, in->len) == 0;
}

static struct http_limits limits_of(const struct session *s)
{
	const struct listener_config *c = s->listener->config;

	return (struct http_limits){.head_max = (uint32_t)c->head_max,
				    .fields_max = (uint16_t)c->fields_max};
}

bool http_next_request(struct session *s)
{
	struct http_limits limits;
	struct stream *up = &s->streams[UP];
	struct http *h = s->http;
	struct http_head head;
	enum input_result r;
	struct pool *pool;
	struct input in;
	int n;

	r = h->scan[UP].begun ? input_more(s, up, &in) : input_get(s, up, &in);
	if (r == INPUT_END)
		client_ended(s);
	if (r != INPUT_SOME)
		return false;
	if (h->phase == HTTP_IDLE) {
		h->began_ns = s->home->loop->now;
		http_follow(s);
	}
	if (h->phase == HTTP_IDLE && h->n_requests && is_empty_lines(&in)) {
		h->scan[UP].begun = true;
		if (input_used(s, up, &in, 0) < 0)
			session_end(s, END_LIMIT);
		return true;
	}
	limits = limits_of(s);
	n = http_request_parse(in.data, in.len, &h->scan[UP], &limits, s->home->fields, &head);
	if (n == 0) {
		if (input_used(s, up, &in, 0) < 0)
			session_end(s, END_LIMIT);
		head_incomplete(s);
		return true;
	}
	if (n < 0) {
		/* That there is more makes the end a polite one; without memory for it, nothing is
		 * lost that anybody would read. */
		if (!in.pending)
			(void)input_used(s, up, &in, 0);
		refuse_head(s, -n);
		return false;
	}
	head.upgrade = head.upgrade && asks_for_others(&head, in.data);
	pool = accept_head(s, &head, in.data);
	if (head.chunked || head.content_length > in.len - (size_t)n)
		conn_ack_at_once(s->client_conn.fd);
	if (input_used(s, up, &in, (size_t)n) < 0) {
		session_end(s, END_LIMIT);
		return false;
	}
	if (!pool)
		return false;
	send_to(s, pool);
	return true;
}

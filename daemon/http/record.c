// SPDX-License-Identifier: GPL-2.0-or-later
/* What is known of a request when it has ended: the log and the counters. */
#include <string.h>

#include "../accesslog.h"
#include "../bypass/bypass.h"
#include "../listener.h"
#include "../loop.h"
#include "../sniff/waiting.h"
#include "../stats.h"
#include "../upstream/pool.h"
#include "exchange.h"

const char *const http_end_str[_HTTP_END_MAX] = {
    [HTTP_END_DONE] = "done",
    [HTTP_END_BAD_REQUEST] = "bad_request",
    [HTTP_END_NO_ROUTE] = "no_route",
    [HTTP_END_MISDIRECTED] = "no_route",
    [HTTP_END_NO_TUNNEL] = "no_route",
    [HTTP_END_DENIED] = "denied",
    [HTTP_END_HEAD_TIMEOUT] = "head_timeout",
    [HTTP_END_REQUEST_TIMEOUT] = "request_timeout",
    [HTTP_END_BODY_TOO_LARGE] = "body_too_large",
    [HTTP_END_HEAD_TOO_LARGE] = "head_too_large",
    [HTTP_END_TOO_MANY_FIELDS] = "too_many_fields",
    [HTTP_END_CONNECT_FAILED] = "connect_failed",
    [HTTP_END_BAD_RESPONSE] = "bad_response",
    [HTTP_END_SERVER_RESET] = "server_reset",
    [HTTP_END_SERVER_LOST] = "server_lost",
    [HTTP_END_CLIENT_LOST] = "client_lost",
    [HTTP_END_NO_SERVER] = "no_server",
    [HTTP_END_LIMIT] = "limit",
    [HTTP_END_RESPONSE_TIMEOUT] = "response_timeout",
    [HTTP_END_CLIENT_RESET] = "client_reset",
    [HTTP_END_CLIENT_CLOSED] = "client_closed",
    [HTTP_END_TUNNEL_TIMEOUT] = "tunnel_timeout",
    [HTTP_END_SHUTDOWN] = "shutdown",
    [HTTP_END_KILLED] = "killed",
    [HTTP_END_INTEGRITY] = "integrity",
    [HTTP_END_ERROR] = "error",
};

static void add_times(struct access_entry *e, const struct http_request *r, uint64_t now)
{
	uint64_t connected = r->connected_ns ? r->connected_ns : now;

	if (r->dialled_ns)
		access_number(e, "connect_ms",
			      r->kept ? 0 : (connected - r->dialled_ns) / NSEC_PER_MSEC);
	else
		access_text(e, "connect_ms", NULL);
	if (r->first_ns)
		access_number(e, "first_ms", (r->first_ns - r->began_ns) / NSEC_PER_MSEC);
	else
		access_text(e, "first_ms", NULL);
	access_number(e, "total_ms", (now - r->began_ns) / NSEC_PER_MSEC);
}

/* The texts one after the other, each with a NUL behind it; an empty one is not known. */
static void add_request(struct access_entry *e, const struct http_request *r)
{
	const char *method = r->text, *host = method + r->method_len + 1,
		   *path = host + r->host_len + 1;

	access_text(e, "method", r->method_len ? method : NULL);
	access_text(e, "host", r->host_len ? host : NULL);
	access_text(e, "path", r->path_len ? path : NULL);
}

/*
 * Payload that the target's TCP has taken, of the bodies or of the tunnel. Of what it has not taken
 * a part may be heads and framing: they are counted as if they were not.
 */
static uint64_t moved(const struct session *s, enum direction d)
{
	enum side to = d == UP ? SIDE_BACKEND : SIDE_CLIENT;
	const struct stream *st = &s->streams[d];
	uint64_t all = stream_moved(st), base = s->http->tunnel_base[d], redirected, missing;

	if (s->tunnel)
		return all - MIN(all, base);
	redirected = stream_redirected(st);
	all = s->http->body[d].moved + redirected;
	if (!all)
		return 0;
	missing = s->http->out[to].len + s->http->lost[to] + stream_undelivered(st, redirected);
	missing = MIN(missing, all);
	if (st->target && missing < all)
		conn_claim(st->target, st->target->sent + redirected + s->http->out[to].len +
					   s->http->lost[to] - missing);
	return all - missing;
}

void http_claim_request(struct session *s)
{
	(void)moved(s, UP);
}

static const char *engine_of(const struct session *s, const struct http_request *r)
{
	if (!r->server)
		return NULL;
	if (s->tunnel)
		return session_engine(s);
	return engine_str(r->spliced);
}

void http_record_tunnel(struct session *s)
{
	struct http *h = s->http;

	/* What is kept of the heads will be counted when it is written. */
	h->tunnel_base[DOWN] = stream_moved(&s->streams[DOWN]) + h->out[SIDE_CLIENT].len;
	h->tunnel_base[UP] = stream_moved(&s->streams[UP]) + h->out[SIDE_BACKEND].len;
}

static void write_line(const struct session *s, const struct http_request *r, enum http_end end,
		       const uint64_t bytes[2])
{
	char client[ADDR_STR_MAX], backend[ADDR_STR_MAX], original[ADDR_STR_MAX];
	const struct http *h = s->http;
	struct access_entry e;

	access_begin(&e, "request");
	access_number(&e, "id", r->id);
	access_text(&e, "client", addr_format(&s->client_conn.peer, client));
	access_text(&e, "listener", s->listener->config->name);
	add_request(&e, r);
	if (r->status)
		access_number(&e, "status", r->status);
	else
		access_text(&e, "status", NULL);
	access_number(&e, "bytes_up", bytes[UP]);
	access_number(&e, "bytes_down", bytes[DOWN]);
	add_times(&e, r, r->ended_ns ? r->ended_ns : s->home->loop->now);
	access_text(&e, "pool", r->pool ? r->pool->config->name : NULL);
	access_text(&e, "server", r->server ? r->server->name : NULL);
	access_text(&e, "backend", r->backend.len ? addr_format(&r->backend, backend) : NULL);
	access_text(&e, "engine", engine_of(s, r));
	if (s->splice.wants_bypass)
		access_text(&e, "bypass", bypass_word(&s->splice));
	if (s->original)
		access_text(&e, "original", addr_format(s->original, original));
	if (h->refused)
		access_text(&e, "error", http_error_str[h->refused]);
	if (s->no_room)
		access_text(&e, "reason", "memory");
	if (*r->trace)
		access_text(&e, "trace", r->trace);
	access_text(&e, "end", http_end_str[end]);
	access_write(&e);
}

void http_count_status(const struct session *s, const struct server *server, unsigned int status)
{
	unsigned int class = status < 600 ? status / 100 : 0;
	const struct home *h = s->home;

	stat_inc(&h->stats->http_responses[class]);
	stat_inc(&s->listener->account->parts[h->index].stats.http_responses[class]);
	if (server)
		stat_inc(&server->parts[h->index].stats.http_responses[class]);
}

/* In the counters: its response, and how long it took. */
static void count_response(const struct session *s, const struct http_request *r)
{
	const struct home *h = s->home;
	struct listener_stats *l = &s->listener->account->parts[h->index].stats;

	stat_time(&l->request_duration, (r->ended_ns ? r->ended_ns : h->loop->now) - r->began_ns);
	if (r->server && r->first_ns)
		stat_time(&r->server->parts[h->index].stats.first_byte_duration,
			  r->first_ns - r->dialled_ns);
	if (r->status)
		http_count_status(s, r->server, r->status);
}

void http_record(struct session *s, enum http_end end)
{
	struct http *h = s->http;
	struct stats *st = s->home->stats;
	struct http_request *r = h->request;
	/* A head that was refused has no request object. */
	struct http_request none = {.began_ns = h->began_ns ? h->began_ns : s->home->loop->now,
				    .status = h->status};
	uint64_t bytes[2] = {moved(s, UP), moved(s, DOWN)};

	if (end == HTTP_END_MISDIRECTED || end == HTTP_END_NO_TUNNEL)
		stat_inc(&st->http_ends[HTTP_END_NO_ROUTE]);
	else
		stat_inc(&st->http_ends[end]);
	if (!r) {
		none.id = atomic_fetch_add(s->home->last_id, 1) + 1;
		r = &none;
	}
	count_response(s, r);
	if (atomic_load_explicit(s->home->access_log, memory_order_relaxed))
		write_line(s, r, end, bytes);
	if (h->request)
		http_replay_end(h->request);
	free(h->request);
	h->request = NULL;
	h->refused = 0;
	h->status = 0;
	h->began_ns = 0;
	/* A head that is refused behind this request has moved nothing. */
	h->body[UP].moved = h->body[DOWN].moved = 0;
}

/* ---- what is left when the session ends --------------------------------------------------- */

static enum http_end end_of(enum session_end end)
{
	switch (end) {
	case END_CLIENT_RESET:
		return HTTP_END_CLIENT_RESET;
	case END_SERVER_RESET:
		return HTTP_END_SERVER_RESET;
	case END_CLIENT_LOST:
		return HTTP_END_CLIENT_LOST;
	case END_SERVER_LOST:
		return HTTP_END_SERVER_LOST;
	case END_SHUTDOWN:
		return HTTP_END_SHUTDOWN;
	case END_KILLED:
		return HTTP_END_KILLED;
	case END_INTEGRITY:
		return HTTP_END_INTEGRITY;
	case END_LIMIT:
	case END_SNIFF_LIMIT:
		return HTTP_END_LIMIT;
	case END_DONE:
		return HTTP_END_DONE;
	case END_IDLE_TIMEOUT:
	case END_HALF_CLOSE_TIMEOUT:
		return HTTP_END_TUNNEL_TIMEOUT;
	default:
		return HTTP_END_ERROR;
	}
}

bool http_ended(struct session *s)
{
	const struct http *h = s->http;

	sniff_done(s);
	own_close(&s->http->own);
	/* Nothing is cut off. */
	if (h->phase == HTTP_IDLE && !s->conns[SIDE_CLIENT]->failed)
		s->polite = true;
	if (h->cut)
		http_record(s, h->cut_end);
	else if (!h->request)
		; /* it ends between two */
	else if (h->request->ended_ns && s->end != END_CLIENT_RESET)
		http_record(s, HTTP_END_DONE);
	else
		http_record(s, end_of(s->end));
	return h->n_requests;
}

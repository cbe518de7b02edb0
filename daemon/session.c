// SPDX-License-Identifier: GPL-2.0-or-later
#include "session.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>

#include "accesslog.h"
#include "daemon.h"
#include "http/exchange.h"
#include "listener.h"
#include "log.h"
#include "silence.h"
#include "sniff/announce.h"
#include "sniff/hello.h"
#include "sniff/sniff.h"
#include "splice/kernel.h"
#include "upstream/dial.h"
#include "upstream/pool.h"
#include "worker.h"

const char *const session_state_str[_SESSION_STATE_MAX] = {
    [SESSION_SNIFFING] = "sniffing",
    [SESSION_DIALING] = "dialing",
    [SESSION_HTTP] = "http",
    [SESSION_OPEN] = "open",
    [SESSION_HALF_CLOSED] = "half_closed",
    [SESSION_ENDED] = "ended",
};

const char *const session_end_str[_SESSION_END_MAX] = {
    [END_DONE] = "done",
    [END_CLIENT_RESET] = "client_reset",
    [END_SERVER_RESET] = "server_reset",
    [END_CLIENT_LOST] = "client_lost",
    [END_SERVER_LOST] = "server_lost",
    [END_IDLE_TIMEOUT] = "idle_timeout",
    [END_HALF_CLOSE_TIMEOUT] = "half_close_timeout",
    [END_CONNECT_FAILED] = "connect_failed",
    [END_NO_SERVER] = "no_server",
    [END_DENIED] = "denied",
    [END_LIMIT] = "limit",
    [END_CLIENT_CLOSED] = "client_closed",
    [END_SNIFF_TIMEOUT] = "sniff_timeout",
    [END_SNIFF_LIMIT] = "sniff_limit",
    [END_BAD_PROXY] = "bad_proxy",
    [END_UNTRUSTED_PROXY] = "untrusted_proxy",
    [END_NOT_TLS] = "not_tls",
    [END_BAD_HELLO] = "bad_hello",
    [END_BAD_HTTP] = "bad_http",
    [END_NO_ROUTE] = "no_route",
    [END_SHUTDOWN] = "shutdown",
    [END_INTEGRITY] = "integrity",
    [END_ERROR] = "error",
};

#define TO(state) (1u << SESSION_##state)
static const uint8_t next_states[_SESSION_STATE_MAX] = {
    [SESSION_SNIFFING] = TO(DIALING) | TO(HTTP) | TO(ENDED),
    [SESSION_DIALING] = TO(OPEN) | TO(ENDED),
    [SESSION_HTTP] = TO(OPEN) | TO(ENDED),
    [SESSION_OPEN] = TO(HALF_CLOSED) | TO(ENDED),
    [SESSION_HALF_CLOSED] = TO(ENDED),
    [SESSION_ENDED] = 0,
};
#undef TO

bool session_may_enter(enum session_state from, enum session_state next)
{
	return next_states[from] >> next & 1;
}

void session_enter(struct session *s, enum session_state next)
{
	assert(session_may_enter(s->state, next));
	log_debug("session %llu: %s -> %s", (unsigned long long)s->id, session_state_str[s->state],
		  session_state_str[next]);
	s->state = next;
}

uint64_t session_active_ns(const struct session *s)
{
	uint64_t latest = MAX(s->active_ns, s->opened_ns);

	for (int i = 0; i < 2; i++)
		if (s->streams[i].lane)
			latest = MAX(latest, __atomic_load_n(&s->streams[i].lane->active_ns,
							     __ATOMIC_RELAXED));
	return latest;
}

const char *session_engine(const struct session *s)
{
	return s->adopted ? engine_kernel.name : engine_copy.name;
}

/* How long a failed side's last bytes have to reach the other peer. */
#define FAREWELL_NS (2 * NSEC_PER_SEC)

static bool session_failed(const struct session *s)
{
	return s->conns[SIDE_CLIENT]->failed ||
	       (s->conns[SIDE_BACKEND] && s->conns[SIDE_BACKEND]->failed);
}

/* ---- timeouts --------------------------------------------------------------------------- */

void session_arm(struct session *s, uint64_t ns)
{
	if (s->state != SESSION_ENDED)
		loop_timer_set(&s->worker->loop, &s->timer, s->worker->loop.now + ns);
}

static uint64_t idle_limit(const struct session *s)
{
	const struct listener_config *c = s->listener->config;

	return s->tunnel ? c->tunnel_timeout : c->idle_timeout;
}

/* How long the session may be silent in its present state; 0: for ever. */
static uint64_t silence_limit(const struct session *s)
{
	const struct listener_config *c = s->listener->config;
	uint64_t half = s->state == SESSION_HALF_CLOSED ? c->half_close_timeout : 0;
	uint64_t idle = idle_limit(s);

	if (half && idle)
		return MIN(half, idle);
	return half ? half : idle;
}

static void begin_silence(struct session *s)
{
	uint64_t limit = silence_limit(s);

	if (limit)
		session_arm(s, silence_begin(s, limit));
	else
		loop_timer_cancel(&s->worker->loop, &s->timer);
}

static void check_silence(struct session *s)
{
	uint64_t limit = silence_limit(s), left;

	if (!limit)
		return;
	left = silence_left(s, limit, SILENCE_BOTH);
	if (left) {
		session_arm(s, left);
		return;
	}
	session_end(s, s->state == SESSION_HALF_CLOSED && limit != idle_limit(s)
			   ? END_HALF_CLOSE_TIMEOUT
			   : END_IDLE_TIMEOUT);
}

static void on_timeout(struct timer *t)
{
	struct session *s = container_of(t, struct session, timer);

	if (s->state == SESSION_SNIFFING)
		sniff_timeout(s);
	else if (s->state == SESSION_HTTP)
		http_timeout(s);
	else if (session_failed(s))
		session_end(s, (enum session_end)s->end);
	else if (s->state != SESSION_ENDED)
		check_silence(s);
}

/* ---- life ------------------------------------------------------------------------------- */

static void init_streams(struct session *s)
{
	struct conn *client = &s->client_conn;

	client->event = session_event;
	client->owner = s;
	client->side = SIDE_CLIENT;
	s->conns[SIDE_CLIENT] = client;
	for (int i = 0; i < 2; i++) {
		s->streams[i].engine = &engine_copy;
		s->streams[i].session = s;
		s->streams[i].drained = true;
	}
	s->streams[UP].source = client;
	s->streams[DOWN].target = client;
}

void session_attach(struct session *s, struct conn *c)
{
	c->event = session_event;
	c->owner = s;
	s->conns[SIDE_BACKEND] = c;
	s->streams[UP].target = c;
	s->streams[DOWN].source = c;
}

struct conn *session_detach(struct session *s)
{
	struct conn *c = s->conns[SIDE_BACKEND];

	if (c) {
		c->event = NULL;
		c->owner = NULL;
	}
	s->conns[SIDE_BACKEND] = NULL;
	s->streams[UP].target = NULL;
	s->streams[DOWN].source = NULL;
	return c;
}

struct session_about *session_about(struct session *s)
{
	if (!s->about)
		s->about = calloc(1, sizeof(*s->about));
	if (!s->about)
		session_end(s, END_LIMIT);
	return s->about;
}

/* One line in this time, whatever is refused in it. */
#define NO_MEMORY_LOG_NS (60 * NSEC_PER_SEC)

/* The client must not take it for the end of its stream. */
static void no_memory(struct worker *w, struct listener *l, int fd, uint32_t slot,
		      const struct addr *client)
{
	static atomic_uint_fast64_t logged_ns;
	uint64_t last = atomic_load(&logged_ns);

	/* Another worker's clock may be a little ahead. */
	if ((!last || (int64_t)(w->loop.now - last) > (int64_t)NO_MEMORY_LOG_NS) &&
	    atomic_compare_exchange_strong(&logged_ns, &last, w->loop.now))
		log_error("listener %s: out of memory for sessions: they are reset",
			  l->config->name);
	stat_inc(&w->stats.ends[END_LIMIT]);
	listener_turn_away(l, fd, client, session_end_str[END_LIMIT]);
	slots_give(&w->daemon->slots, slot);
	listener_session_ended(l);
}

void session_start(struct worker *w, struct listener *l, int fd, uint32_t slot,
		   const struct addr *client, bool denied)
{
	struct daemon *d = w->daemon;
	struct session *s = calloc(1, sizeof(*s));

	atomic_fetch_add(&l->total, 1);
	stat_inc(&w->stats.sessions_total);
	if (!s) {
		no_memory(w, l, fd, slot, client);
		return;
	}
	s->worker = w;
	s->listener = l;
	s->id = atomic_fetch_add(&d->next_id, 1) + 1;
	s->slot = slot;
	/* 0 is nobody's: see kernel_unshare(). */
	s->generation = ++d->generations[slot] ? d->generations[slot] : ++d->generations[slot];
	s->denied = denied;
	s->began_ns = w->loop.now;
	init_streams(s);
	s->client_conn.fd = fd;
	s->client_conn.peer = *client;
	s->client_conn.tcp = client->sa.sa_family != AF_UNIX;
	d->owners[slot] = s;
	TAILQ_INSERT_TAIL(&w->sessions, s, link);
	w->n_sessions++;
	s->timer.fire = on_timeout;

	stream_watch(&s->streams[UP]);
	sniff_start(s);
}

/* ---- its server ------------------------------------------------------------------------- */

const struct server *session_server(const struct session *s)
{
	return s->dial ? s->dial->server : s->server;
}

const struct addr *session_backend(const struct session *s)
{
	const struct conn *c = s->conns[SIDE_BACKEND];

	if (s->dial)
		return s->dial->where.len ? &s->dial->where : NULL;
	return c ? &c->peer : NULL;
}

static void no_server(struct session *s, enum session_end end)
{
	if (s->state == SESSION_HTTP)
		http_no_server(s, end);
	else
		session_end(s, end);
}

static void forget_dial(struct session *s)
{
	dial_free(s->dial);
	s->dial = NULL;
}

/* What it had before is closed: see http_release_server(). */
static void on_connected(void *owner, struct conn *c, int err)
{
	struct session *s = owner;
	struct conn *closed = session_detach(s);

	if (closed)
		loop_conn_gone(&s->worker->loop, closed);
	forget_dial(s);
	s->server = c->server;
	session_attach(s, c);
	session_opened(s);
	if (err && c->owner == s)
		session_fail(s, c, err);
}

/* The dial knows what was tried until its session has ended. */
static void on_dial_failed(void *owner, enum dial_failure why)
{
	static const enum session_end ends[] = {
	    [DIAL_CONNECT_FAILED] = END_CONNECT_FAILED,
	    [DIAL_NO_SERVER] = END_NO_SERVER,
	    [DIAL_LIMIT] = END_LIMIT,
	};

	no_server(owner, ends[why]);
}

void session_dial(struct session *s, const struct dial_plan *plan)
{
	static const struct dial_calls calls = {on_connected, on_dial_failed};

	s->dial = dial_new(&s->worker->dialer, plan, &calls, s);
	if (s->dial)
		dial_begin(s->dial);
	else
		no_server(s, END_LIMIT);
}

void session_release_server(struct session *s)
{
	forget_dial(s);
	if (s->server)
		server_release(s->server);
	s->server = NULL;
}

/* Whether the server gets something as soon as it is connected. */
static bool has_spoken(const struct session *s)
{
	return s->streams[UP].pending_len || s->pool->config->send_proxy != PROXY_SEND_NO ||
	       !conn_is_quiet(&s->client_conn);
}

void session_to_pool(struct session *s, struct pool *pool)
{
	struct dial_plan plan = {.pool = pool, .silence = s->listener->silence};

	s->pool = pool;
	if (!pool) {
		session_refuse(s, END_NO_ROUTE);
		return;
	}
	loop_timer_cancel(&s->worker->loop, &s->timer);
	session_enter(s, SESSION_DIALING);
	plan.speaks = has_spoken(s);
	session_dial(s, &plan);
}

void session_refuse(struct session *s, enum session_end end)
{
	uint8_t alert[TLS_ALERT_BYTES];
	size_t n;

	if (s->about && s->about->protocol && strcmp(s->about->protocol, "tls") == 0 &&
	    end == END_NO_ROUTE) {
		n = tls_alert_build(alert, TLS_ALERT_UNRECOGNIZED_NAME);
		(void)send(s->client_conn.fd, alert, n, MSG_NOSIGNAL);
		s->polite = true;
	}
	session_end(s, end);
}

/* Which engine a newly opened session starts with, and why. */
static enum copy_reason first_reason(const struct session *s)
{
	const struct worker *w = s->worker;

	if (w->daemon->config->engine == ENGINE_COPY)
		return COPY_CONFIG;
	if (!w->maps)
		return COPY_UNAVAILABLE;
	if (!s->conns[SIDE_CLIENT]->tcp || !s->conns[SIDE_BACKEND]->tcp)
		return COPY_UNIX;
	return COPY_YOUNG;
}

/* Puts the PROXY header that the pool wants before what is pending for the server. */
static int announce(struct session *s)
{
	struct stream *up = &s->streams[UP];
	uint8_t header[PROXY_HEADER_MAX];
	size_t n = proxy_announce(s, header, sizeof(header));
	char *both;

	if (!n)
		return 0;
	both = malloc(n + up->pending_len);
	if (!both)
		return -ENOMEM;
	memcpy(both, header, n);
	if (up->pending_len)
		memcpy(both + n, up->pending + up->pending_at, up->pending_len);
	free(up->pending);
	up->pending = both;
	up->pending_at = 0;
	up->pending_len += (uint32_t)n;
	s->preamble = n;
	return 0;
}

void session_opened(struct session *s)
{
	if (s->state == SESSION_HTTP) {
		http_connected(s);
		return;
	}
	if (announce(s) < 0) {
		session_end(s, END_LIMIT);
		return;
	}
	session_tunnel(s);
}

void session_tunnel(struct session *s)
{
	struct worker *w = s->worker;
	enum copy_reason why = first_reason(s);

	for (int i = 0; i < 2; i++) {
		if (s->streams[i].lane ||
		    (s->streams[i].state != STREAM_NEW && s->streams[i].state != STREAM_COPY)) {
			session_end(s, END_ERROR);
			return;
		}
	}
	s->opened_ns = w->loop.now;
	session_enter(s, SESSION_OPEN);
	for (int i = 0; i < 2; i++) {
		struct stream *st = &s->streams[i];

		st->why_copy = why;
		st->engine = &engine_copy;
		st->by_hand = 0;
		if (st->state == STREAM_NEW)
			stream_enter(st, STREAM_COPY);
		if (why != COPY_YOUNG)
			stat_inc(&w->stats.copy_reasons[why]);
	}
	if (why != COPY_YOUNG) {
		s->counted_copy = true;
		stat_inc(&w->stats.sessions_copy);
	}
	begin_silence(s);

	if (why == COPY_YOUNG && !w->daemon->config->engage_after)
		kernel_adopt(s);
	else if (why == COPY_YOUNG)
		worker_adopt_later(w, s);
	stream_pump(&s->streams[UP]);
	stream_pump(&s->streams[DOWN]);
}

/* The client while it has not said where it belongs. */
static void sniffing_event(struct session *s, uint32_t events)
{
	int err = events & EPOLLERR ? conn_error(s->client_conn.fd) : 0;

	conn_input_event(&s->client_conn, events);
	if (err)
		session_end(s, session_end_by(SIDE_CLIENT, err));
	else if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		sniff_readable(s);
}

void session_event(struct conn *c, uint32_t events)
{
	struct session *s = c->owner;
	int err;

	if (s->state == SESSION_ENDED)
		return;
	if (events & CONN_UNWATCHED) {
		session_end(s, END_LIMIT);
		return;
	}
	if (s->state == SESSION_SNIFFING) {
		sniffing_event(s, events);
		return;
	}
	if (s->state == SESSION_HTTP) {
		http_event(s, c, events);
		return;
	}
	if (c->failed)
		return;
	if (events & EPOLLERR) {
		err = conn_error(c->fd);
		if (err) {
			session_fail(s, c, err);
			return;
		}
	}
	if (events & EPOLLOUT)
		c->writable = true;
	conn_input_event(c, events);
	if (s->state == SESSION_DIALING)
		return;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		stream_pump(&s->streams[c->side == SIDE_CLIENT ? UP : DOWN]);
	if (events & EPOLLOUT) {
		struct stream *to = &s->streams[c->side == SIDE_CLIENT ? DOWN : UP];

		stream_roused(to);
		stream_pump(to);
	}
}

void session_stream_done(struct session *s)
{
	if (s->streams[UP].state == STREAM_DONE && s->streams[DOWN].state == STREAM_DONE) {
		session_end(s, END_DONE);
		return;
	}
	session_enter(s, SESSION_HALF_CLOSED);
	begin_silence(s);
}

enum session_end session_end_by(enum side side, int err)
{
	switch (err) {
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE: /* reset after it had ended its stream */
	case ECONNREFUSED:
		return side == SIDE_CLIENT ? END_CLIENT_RESET : END_SERVER_RESET;
	/* It is there no more, or there is no way to it: it answered neither what was sent nor
	 * TCP's keepalive. */
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
	case ENETRESET:
		return side == SIDE_CLIENT ? END_CLIENT_LOST : END_SERVER_LOST;
	case ENOMEM:
	case ENOBUFS:
		return END_LIMIT;
	default:
		return END_ERROR;
	}
}

void session_fail(struct session *s, struct conn *c, int err)
{
	struct stream *out = &s->streams[c->side == SIDE_CLIENT ? UP : DOWN];
	enum session_end end;

	if (s->state == SESSION_ENDED || c->failed)
		return;
	if (s->state == SESSION_HTTP) {
		http_fail(s, c, err);
		return;
	}
	log_debug("session %llu: %s: %s", (unsigned long long)s->id,
		  c->side == SIDE_CLIENT ? "client" : "server", strerror(err));
	end = session_end_by(c->side, err);
	if (session_failed(s) || out->state == STREAM_NEW || out->state == STREAM_DONE) {
		session_end(s, end);
		return;
	}
	c->failed = true;
	c->readable = true;
	s->end = (uint8_t)end;
	session_arm(s, FAREWELL_NS);
	kernel_abandon(out);
	stream_again(out);
}

/* ---- end -------------------------------------------------------------------------------- */

/* The names a client offered, with commas between. */
static void add_alpn(struct access_entry *e, const struct session_about *about, char buf[256])
{
	size_t at = 0, n = 0;

	while (at < about->alpn_len) {
		size_t len = (uint8_t)about->alpn[at];

		if (n)
			buf[n++] = ',';
		len = MIN(len, (size_t)about->alpn_len - at - 1);
		memcpy(buf + n, about->alpn + at + 1, len);
		n += len;
		at += len + 1;
	}
	buf[n] = '\0';
	access_text(e, "alpn", n ? buf : NULL);
}

static void log_session(const struct session *s)
{
	char client[ADDR_STR_MAX], backend[ADDR_STR_MAX], alpn[256];
	const struct stream *up = &s->streams[UP], *down = &s->streams[DOWN];
	const struct server *server = session_server(s);
	const struct addr *where = session_backend(s);
	uint64_t sent = stream_moved(up);
	struct access_entry e;

	access_begin(&e, "session");
	access_number(&e, "id", s->id);
	access_text(&e, "client", addr_format(&s->client_conn.peer, client));
	access_text(&e, "listener", s->listener->config->name);
	access_text(&e, "pool", s->pool ? s->pool->config->name : NULL);
	access_text(&e, "server", server ? server->config->name : NULL);
	access_text(&e, "backend", where ? addr_format(where, backend) : NULL);
	access_number(&e, "bytes_up", sent - MIN(sent, s->preamble));
	access_number(&e, "bytes_down", stream_moved(down));
	access_number(&e, "duration_ms", (now_ns() - s->began_ns) / NSEC_PER_MSEC);
	access_text(&e, "engine", s->opened_ns ? session_engine(s) : NULL);
	access_number(&e, "pauses", up->pauses + down->pauses);
	if (s->about && s->about->protocol) {
		access_text(&e, "protocol", s->about->protocol);
		access_text(&e, "sni", *s->about->sni ? s->about->sni : NULL);
		add_alpn(&e, s->about, alpn);
	}
	access_text(&e, "end", session_end_str[s->end]);
	access_write(&e);
}

/* log_empty = no: a client that connected, sent nothing and went, or was made to go. A failure of
 * ours or of a server is told all the same. */
static bool is_empty_probe(const struct session *s)
{
	static const bool ends[_SESSION_END_MAX] = {
	    [END_DONE] = true,
	    [END_CLIENT_RESET] = true,
	    [END_CLIENT_CLOSED] = true,
	    [END_SNIFF_TIMEOUT] = true,
	    [END_SNIFF_LIMIT] = true,
	    [END_IDLE_TIMEOUT] = true,
	    [END_HALF_CLOSE_TIMEOUT] = true,
	};

	return ends[s->end] && !s->client_conn.received && !stream_moved_by_kernel(&s->streams[UP]);
}

/* A connection of HTTP requests has a line for each of them. */
static bool is_logged(const struct session *s)
{
	const struct daemon *d = s->worker->daemon;

	return atomic_load_explicit(&d->access_log, memory_order_relaxed) &&
	       !(s->http && s->http->n_requests) &&
	       (atomic_load_explicit(&d->log_empty, memory_order_relaxed) || !is_empty_probe(s));
}

static void count_session(const struct session *s)
{
	struct stats *st = &s->worker->stats;

	stat_inc(&st->ends[s->end]);
	if (s->end == END_INTEGRITY)
		stat_inc(&st->integrity_aborts);
	if (s->opened_ns && !s->adopted && !s->counted_copy)
		stat_inc(&st->sessions_copy);
	for (int i = 0; i < 2; i++) {
		const struct stream *stream = &s->streams[i];

		stat_add(&st->bytes_copied, stream->copied);
		stat_add(&st->bytes_redirected, stream_moved_by_kernel(stream));
		stat_add(&st->bytes_trimmed, stream_trimmed(stream));
		if (s->opened_ns && stream->why_copy == COPY_YOUNG)
			stat_inc(&st->copy_reasons[COPY_YOUNG]);
		if (stream->why_copy == COPY_HALF_CLOSED && stream->copied > stream->released_at)
			stat_inc(&st->copy_reasons[COPY_HALF_CLOSED]);
	}
}

void session_end(struct session *s, enum session_end end)
{
	struct worker *w = s->worker;

	if (s->state == SESSION_ENDED)
		return;
	s->end = (uint8_t)end;
	session_enter(s, SESSION_ENDED);
	loop_timer_cancel(&w->loop, &s->timer);
	sniff_done(s);
	for (int i = 0; i < 2; i++) {
		struct stream *stream = &s->streams[i];

		stream_unwait(stream);
		stream_not_again(stream);
		stream_close(stream);
	}
	if (s->http)
		http_ended(s);
	/* A peer whose incoming stream ended properly gets nothing worse than a close. */
	for (int i = 0; i < 2; i++) {
		if (!s->conns[i])
			continue;
		loop_unwatch(&w->loop, s->conns[i]);
		conn_close(s->conns[i],
			   !s->polite &&
			       s->streams[i == SIDE_CLIENT ? DOWN : UP].state != STREAM_DONE);
	}
	if (is_logged(s))
		log_session(s);
	count_session(s);
	session_release_server(s);
	worker_session_ended(w, s);
}

void session_free(struct session *s)
{
	struct daemon *d = s->worker->daemon;

	for (int i = 0; i < 2; i++)
		stream_fini(&s->streams[i]);
	http_free(s->http);
	if (s->about)
		free(s->about->tlvs);
	free(s->about);
	conn_free(s->conns[SIDE_BACKEND]);
	d->owners[s->slot] = NULL;
	slots_give(&d->slots, s->slot);
	listener_session_ended(s->listener);
	free(s);
}

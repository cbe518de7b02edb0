// SPDX-License-Identifier: GPL-2.0-or-later
#include "dial.h"

#include <errno.h>
#include <string.h>

#include "../daemon.h"
#include "../http/http.h"
#include "../listener.h"
#include "../log.h"
#include "../session.h"
#include "../worker.h"
#include "idle.h"

/*
 * How often a session that waits for something of this host, or for room in a unix socket's
 * backlog, looks whether it is there: nothing tells it. At first soon, then more and more rarely.
 */
#define PAUSE_MIN_NS (NSEC_PER_MSEC)
#define PAUSE_MAX_NS (50 * NSEC_PER_MSEC)

/* The least time that an address of many is given: a SYN that is lost is sent again after a second.
 */
#define SHARE_MIN_NS (NSEC_PER_SEC)

static int own(void *arg, int fd)
{
	const struct worker *w = arg;

	daemon_own(w->daemon, fd);
	return 0;
}

/*
 * A session that was accepted gets its backend socket even when descriptors have just run out: a
 * connection that is kept for later goes, or the worker's reserve is given up for it, and the
 * listeners wait until that is filled again.
 */
static int dial_fd(struct worker *w, const struct addr *where, bool speaks,
		   const struct tcp_keepalive *keepalive)
{
	bool tcp = where->sa.sa_family != AF_UNIX;
	int fd = conn_dial(where, speaks, keepalive, tcp ? own : NULL, w);

	if ((fd == -EMFILE || fd == -ENFILE) && idle_give_up(w))
		fd = conn_dial(where, speaks, keepalive, tcp ? own : NULL, w);
	if ((fd == -EMFILE || fd == -ENFILE) && w->reserve_fd >= 0) {
		(void)close(w->reserve_fd);
		w->reserve_fd = -1;
		fd = conn_dial(where, speaks, keepalive, tcp ? own : NULL, w);
	}
	return fd;
}

/* A server that is down fails many sessions a second; one line a second says so as well. */
static void report(const struct session *s, int err)
{
	uint64_t now = s->worker->loop.now, last = atomic_load(&s->server->reported_ns);
	char text[ADDR_STR_MAX];

	if ((last && (int64_t)(now - last) < (int64_t)NSEC_PER_SEC) ||
	    !atomic_compare_exchange_strong(&s->server->reported_ns, &last, now))
		return;
	log_warn("pool %s: server %s: connecting to %s: %s", s->pool->config->name,
		 s->server->config->name, addr_format(&s->backend, text), conn_strerror(err));
}

/* What failed is of no interest any more. */
static void dial_forget(struct dial *d)
{
	free(d->tried);
	d->tried = NULL;
	d->last = NULL;
}

/* ---- whose fault ------------------------------------------------------------------------ */

/* Ours, whomever we call. */
static bool is_shortage(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS;
}

/* Ours as well, but only for this address: all ports to it are in use. */
static bool is_portless(int err)
{
	return err == EADDRNOTAVAIL;
}

/* It may go away by itself. EAGAIN is a unix server's: its backlog is full. */
static bool is_passing(int err)
{
	return is_shortage(err) || is_portless(err) || err == EAGAIN;
}

/* ---- one try ---------------------------------------------------------------------------- */

/* Whether the server gets something as soon as it is connected. */
static bool has_spoken(const struct session *s)
{
	if (s->state == SESSION_HTTP || s->streams[UP].pending_len ||
	    s->pool->config->send_proxy != PROXY_SEND_NO)
		return true;
	return !conn_is_quiet(&s->client_conn);
}

/* Whether TCP is to ask the server if it is still there: it may be silent in the session, and then
 * while its connection is kept. */
static bool wants_keepalive(const struct session *s)
{
	const struct pool_config *c = s->pool->config;
	uint64_t kept = s->state == SESSION_HTTP ? c->keepalive_timeout : 0;

	return conn_wants_keepalive(&c->tcp_keepalive, MAX(s->listener->silence, kept));
}

/* What the address is given. Where others of the server are as good, they share connect_timeout. */
static uint64_t try_time(const struct session *s)
{
	uint64_t all = s->pool->config->connect_timeout, others = s->dial.attempt.others;

	return others ? MAX(all / (others + 1), MIN(all, SHARE_MIN_NS)) : all;
}

/* 0, or a negative errno: it has failed at once. */
static int try_server(struct session *s)
{
	struct worker *w = s->worker;
	struct conn *c = s->conns[SIDE_BACKEND];
	bool asked;
	int fd;

	if (!c) {
		c = conn_new();
		if (!c)
			return -ENOMEM;
		session_attach(s, c);
	}
	asked = wants_keepalive(s);
	fd = dial_fd(w, &s->backend, has_spoken(s), asked ? &s->pool->config->tcp_keepalive : NULL);
	if (fd < 0)
		return fd;
	s->dial.waits_ns = 0;
	c->fd = fd;
	c->server = s->server;
	c->where = s->backend;
	c->where_seen = 0;
	c->tcp = s->backend.sa.sa_family != AF_UNIX;
	c->asked = asked;
	c->armed = 0;
	c->used = c->reused = c->identified = c->end_first = false;
	c->readable = c->writable = c->fin_seen = c->urgent = false;
	c->failed = c->lost = c->ended = c->unwatched = false;
	session_dial_timeout(s, try_time(s));
	stream_watch(&s->streams[DOWN]);
	return 0;
}

/* Goes on with a connection that an earlier request has left. False: there is none. */
static bool go_on_with(struct session *s, struct conn *c)
{
	struct conn *closed;

	if (!c)
		return false;
	closed = session_detach(s);
	if (closed)
		loop_conn_gone(&s->worker->loop, closed);
	session_attach(s, c);
	/* The one before may have had a listener with shorter times. It is not worth failing for.
	 */
	if (!c->asked && c->tcp && wants_keepalive(s))
		c->asked = conn_set_keepalive(c->fd, &s->pool->config->tcp_keepalive) == 0;
	s->dial.waits_ns = 0;
	attempt_spare(s->server, &s->backend, &s->dial.attempt, s->worker->loop.now);
	dial_forget(&s->dial);
	s->backend = c->where;
	return true;
}

/* One to the chosen server. */
static bool reuse(struct session *s)
{
	return s->state == SESSION_HTTP && go_on_with(s, http_kept(s));
}

/* One on which the client has said who it is: no other server would know. */
static bool reuse_identified(struct session *s)
{
	struct conn *c = s->state == SESSION_HTTP ? http_identified(s) : NULL;

	if (!c)
		return false;
	s->server = c->server;
	server_count(s->server);
	return go_on_with(s, c);
}

/*
 * The session was accepted: it waits for what others give back, as long as a server may take to be
 * connected. Nobody is accepted while descriptors are short (see listener.c). The server stays
 * chosen. False: it has waited long enough.
 */
static bool await(struct session *s, int err)
{
	uint64_t now = s->worker->loop.now, waited;
	uint64_t most = is_shortage(err) ? s->pool->config->connect_timeout : try_time(s);
	struct dial *d = &s->dial;

	if (!d->waits_ns) {
		d->waits_ns = now;
		d->pause_ns = PAUSE_MIN_NS;
	}
	waited = now - d->waits_ns;
	if (waited >= most)
		return false;
	session_dial_timeout(s, MIN(d->pause_ns, most - waited));
	d->pause_ns = MIN(d->pause_ns * 2, PAUSE_MAX_NS);
	return true;
}

/* ---- one after the other ---------------------------------------------------------------- */

static void no_server(struct session *s)
{
	const struct dial *d = &s->dial;

	if (d->failed)
		session_no_server(s, END_CONNECT_FAILED);
	else
		session_no_server(s, d->limited ? END_LIMIT : END_NO_SERVER);
}

/* The address is not tried again. False: out of memory. */
static bool remember(struct session *s)
{
	struct dial *d = &s->dial;

	if (!d->tried)
		d->tried = calloc(s->pool->n_servers, sizeof(*d->tried));
	if (!d->tried)
		return false;
	d->tried[s->server - s->pool->servers] |= UINT64_C(1) << d->attempt.slot;
	d->last = s->server;
	return true;
}

/* Puts the failed try behind us. False: the session has ended. */
static bool next_try(struct session *s, int err)
{
	struct server *server = s->server;
	struct dial *d = &s->dial;
	bool remembered = remember(s);

	report(s, err);
	if (s->conns[SIDE_BACKEND])
		conn_close(s->conns[SIDE_BACKEND], false);
	s->server = NULL;
	d->waits_ns = 0;
	if (is_portless(err)) {
		d->limited = true;
		attempt_spare(server, &s->backend, &d->attempt, s->worker->loop.now);
		server_release(server);
	} else {
		d->failed = true;
		attempt_failed(server, &s->backend, &d->attempt, err, s->worker->loop.now);
	}
	if (!remembered)
		session_no_server(s, END_LIMIT);
	return remembered;
}

/* Begins to connect. True: it has failed at once, and the next is to be tried. */
static bool try_fails(struct session *s)
{
	int err = -try_server(s);

	if (!err || (is_passing(err) && await(s, err)))
		return false;
	if (!is_shortage(err))
		return next_try(s, err);
	session_no_server(s, END_LIMIT);
	return false;
}

/* Who may be asked after what has failed so far. */
static unsigned int wish(const struct session *s)
{
	const struct dial *d = &s->dial;

	if (!d->last)
		return WISH_ANY;
	if (s->worker->loop.now >= d->until_ns)
		return d->overtime ? 0 : WISH_OTHERS;
	return WISH_OTHERS | WISH_PASSED | (d->retries_left ? WISH_PASSED_OTHERS : 0);
}

/* False: nobody is left, and the session has ended or waits for one. */
static bool choose(struct session *s)
{
	struct dial *d = &s->dial;
	const struct wish w = {
	    .tried = d->tried, .last = d->last, .what = wish(s), .now = s->worker->loop.now};

	s->server = pool_pick(s->pool, &w, &s->backend, &d->attempt);
	if (!s->server) {
		/* A name that is still being looked up is like a server that does not answer yet.
		 */
		if (d->last || !pool_is_awaited(s->pool) || !await(s, 0))
			no_server(s);
		return false;
	}
	if (!d->last)
		return true;
	stat_inc(&s->worker->stats.retries);
	if (s->server == d->last)
		return true;
	if (d->retries_left)
		d->retries_left--;
	if (w.now >= d->until_ns)
		d->overtime = true;
	return true;
}

static void dial_next(struct session *s)
{
	do {
		if (!choose(s))
			return;
		if (reuse(s)) {
			session_opened(s);
			return;
		}
	} while (try_fails(s));
}

void dial(struct session *s)
{
	const struct pool_config *c = s->pool->config;

	dial_forget(&s->dial);
	s->dial = (struct dial){
	    .until_ns = s->worker->loop.now + c->connect_timeout * (1 + (uint64_t)c->retries),
	    .retries_left = (uint16_t)c->retries,
	};
	if (reuse_identified(s))
		session_opened(s);
	else
		dial_next(s);
}

/* ---- what happens to a try -------------------------------------------------------------- */

static void dial_failed(struct session *s, int err)
{
	if (next_try(s, err))
		dial_next(s);
}

void dial_timeout(struct session *s)
{
	if (!s->dial.waits_ns) {
		dial_failed(s, ETIMEDOUT);
		return;
	}
	if (!s->server) {
		dial_next(s);
		return;
	}
	if (reuse(s)) {
		session_opened(s);
		return;
	}
	if (try_fails(s))
		dial_next(s);
}

void dial_connected(struct session *s)
{
	attempt_connected(s->server, &s->backend, &s->dial.attempt, s->worker->loop.now);
	dial_forget(&s->dial);
	session_opened(s);
}

bool dial_error(struct session *s, int err)
{
	/* The kernel's tcp_reset() says ECONNREFUSED while a connection is being made; these only
	 * of one that was made, and whoever did that is not down. */
	if (err != ECONNRESET && err != EPIPE) {
		dial_failed(s, err);
		return true;
	}
	dial_connected(s);
	return false;
}

void dial_release(struct session *s)
{
	uint64_t now = s->worker->loop.now,
		 half = s->pool ? s->pool->config->connect_timeout / 2 : 0;
	struct server *server = s->server;
	struct dial *d = &s->dial;

	dial_forget(d);
	if (!server)
		return;
	s->server = NULL;
	/* Of a server that hangs, clients may have enough before connect_timeout is over. */
	if (d->attempt.open && !d->waits_ns && now - d->attempt.began_ns >= half) {
		attempt_failed(server, &s->backend, &d->attempt, ETIMEDOUT, now);
		return;
	}
	attempt_spare(server, &s->backend, &d->attempt, now);
	server_release(server);
}

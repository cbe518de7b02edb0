// SPDX-License-Identifier: GPL-2.0-or-later
#include "dial.h"

#include <errno.h>
#include <string.h>

#include "daemon.h"
#include "http/http.h"
#include "idle.h"
#include "log.h"
#include "session.h"
#include "worker.h"

/* How often a session that waits for a descriptor looks whether there is one: nothing tells it. */
#define STARVED_RETRY_NS (50 * NSEC_PER_MSEC)

static int own(void *arg, int fd)
{
	const struct worker *w = arg;

	return daemon_own(w->daemon, fd);
}

/*
 * A session that was accepted gets its backend socket even when descriptors have just run out: a
 * connection that is kept for later goes, or the worker's reserve is given up for it, and the
 * listeners wait until that is filled again.
 */
static int dial_fd(struct worker *w, const struct addr *where, bool speaks)
{
	bool tcp = where->sa.sa_family != AF_UNIX;
	int fd = conn_dial(where, speaks, tcp ? own : NULL, w);

	if ((fd == -EMFILE || fd == -ENFILE) && idle_give_up(w))
		fd = conn_dial(where, speaks, tcp ? own : NULL, w);
	if ((fd == -EMFILE || fd == -ENFILE) && w->reserve_fd >= 0) {
		(void)close(w->reserve_fd);
		w->reserve_fd = -1;
		fd = conn_dial(where, speaks, tcp ? own : NULL, w);
	}
	return fd;
}

/* A server that is down fails many sessions a second; one line a second says so as well. */
static void report(const struct session *s, int err)
{
	uint64_t now = s->worker->now, last = atomic_load(&s->server->reported_ns);
	char text[ADDR_STR_MAX];

	if ((last && (int64_t)(now - last) < (int64_t)NSEC_PER_SEC) ||
	    !atomic_compare_exchange_strong(&s->server->reported_ns, &last, now))
		return;
	log_warn("pool %s: server %s: connecting to %s: %s", s->pool->config->name,
		 s->server->config->name, addr_format(&s->backend, text), strerror(err));
}

/* Puts the failed try behind us. False: the session has no try left and has ended. */
static bool next_try(struct session *s, int err)
{
	report(s, err);
	if (s->conns[SIDE_BACKEND])
		conn_close(s->conns[SIDE_BACKEND], false);
	server_release(s->server, true);
	s->server = NULL;
	s->failed = true;
	if (!s->retries_left) {
		session_no_server(s, END_CONNECT_FAILED);
		return false;
	}
	s->retries_left--;
	return true;
}

/* Whether the server gets something as soon as it is connected. */
static bool has_spoken(const struct session *s)
{
	if (s->state == SESSION_HTTP || s->streams[UP].pending_len ||
	    s->pool->config->send_proxy != PROXY_SEND_NO)
		return true;
	return !conn_is_quiet(&s->client_conn);
}

/* One try. 0, or a negative errno: it has failed at once. */
static int try_server(struct session *s)
{
	struct worker *w = s->worker;
	struct conn *c = s->conns[SIDE_BACKEND];
	int fd;

	if (!c) {
		c = conn_new();
		if (!c)
			return -ENOMEM;
		session_attach(s, c);
	}
	fd = dial_fd(w, &s->backend, has_spoken(s));
	if (fd < 0)
		return fd;
	s->starved_ns = 0;
	c->fd = fd;
	c->server = s->server;
	c->tcp = s->backend.sa.sa_family != AF_UNIX;
	c->armed = 0;
	c->readable = c->writable = c->fin_seen = c->urgent = c->failed = c->ended = false;
	session_dial_timeout(s, s->pool->config->connect_timeout);
	stream_watch(w, &s->streams[DOWN]);
	return 0;
}

/* A connection to the chosen server that an earlier request has left. */
static bool reuse(struct session *s)
{
	struct conn *c, *closed;

	if (s->state != SESSION_HTTP || !http_may_reuse(s))
		return false;
	c = idle_take(s->worker, s->server);
	if (!c)
		return false;
	closed = session_detach(s);
	if (closed)
		worker_conn_gone(s->worker, closed);
	session_attach(s, c);
	s->starved_ns = 0;
	return true;
}

/* Ours, not the server's. */
static bool is_shortage(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -ENOBUFS;
}

/*
 * The session was accepted: it waits for what others give back, as long as a server may take to be
 * connected. Nobody is accepted meanwhile (see listener.c). The server stays chosen.
 */
static void await_descriptor(struct session *s)
{
	uint64_t now = s->worker->now;

	if (!s->starved_ns)
		s->starved_ns = now;
	if (now - s->starved_ns >= s->pool->config->connect_timeout)
		session_no_server(s, END_LIMIT);
	else
		session_dial_timeout(s, MIN(STARVED_RETRY_NS, s->pool->config->connect_timeout));
}

void dial(struct session *s)
{
	int err;

	do {
		s->server = pool_pick(s->pool, &s->tried, &s->backend);
		if (!s->server) {
			session_no_server(s, s->failed ? END_CONNECT_FAILED : END_NO_SERVER);
			return;
		}
		if (reuse(s)) {
			session_opened(s);
			return;
		}
		if (s->failed)
			stat_inc(&s->worker->stats.retries);
		err = try_server(s);
		if (is_shortage(err)) {
			await_descriptor(s);
			return;
		}
	} while (err && next_try(s, -err));
}

void dial_timeout(struct session *s)
{
	int err;

	if (!s->starved_ns) {
		dial_failed(s, ETIMEDOUT);
		return;
	}
	if (reuse(s)) {
		session_opened(s);
		return;
	}
	err = try_server(s);
	if (is_shortage(err))
		await_descriptor(s);
	else if (err && next_try(s, -err))
		dial(s);
}

void dial_failed(struct session *s, int err)
{
	if (next_try(s, err))
		dial(s);
}

void dial_connected(struct session *s)
{
	session_opened(s);
}

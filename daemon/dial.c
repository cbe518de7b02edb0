// SPDX-License-Identifier: GPL-2.0-or-later
#include "dial.h"

#include <errno.h>
#include <string.h>

#include "daemon.h"
#include "log.h"
#include "session.h"
#include "worker.h"

static int own(void *arg, int fd)
{
	const struct session *s = arg;
	const struct daemon *d = s->worker->daemon;

	if (daemon_is_local(d, &s->backend))
		conn_local_options(fd);
	return daemon_own(d, fd);
}

/*
 * A session that was accepted gets its backend socket even when descriptors have just run out: the
 * worker's reserve is given up for it, and the listeners wait until it is filled again.
 */
static int dial_fd(struct session *s)
{
	bool tcp = s->backend.sa.sa_family != AF_UNIX;
	int fd = conn_dial(&s->backend, tcp ? own : NULL, s);
	struct worker *w = s->worker;

	if ((fd == -EMFILE || fd == -ENFILE) && w->reserve_fd >= 0) {
		(void)close(w->reserve_fd);
		w->reserve_fd = -1;
		fd = conn_dial(&s->backend, tcp ? own : NULL, s);
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
	conn_close(&s->conns[SIDE_BACKEND], false);
	server_release(s->server, true);
	s->server = NULL;
	s->failed = true;
	if (!s->retries_left) {
		session_end(s, END_CONNECT_FAILED);
		return false;
	}
	s->retries_left--;
	stat_inc(&s->worker->stats.retries);
	return true;
}

/* One try. 0, or a negative errno: it has failed at once. */
static int try_server(struct session *s)
{
	struct worker *w = s->worker;
	struct conn *c = &s->conns[SIDE_BACKEND];
	int fd = dial_fd(s);

	if (fd < 0)
		return fd;
	c->fd = fd;
	c->tcp = s->backend.sa.sa_family != AF_UNIX;
	c->armed = 0;
	c->readable = c->writable = c->fin_seen = false;
	session_dial_timeout(s, s->pool->config->connect_timeout);
	stream_watch(w, &s->streams[DOWN]);
	return 0;
}

void dial(struct session *s)
{
	int err;

	do {
		s->server = pool_pick(s->pool, &s->tried, &s->backend);
		if (!s->server) {
			session_end(s, s->failed ? END_CONNECT_FAILED : END_NO_SERVER);
			return;
		}
		err = try_server(s);
		if (err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -ENOBUFS) {
			/* Ours, not the server's. */
			session_end(s, END_LIMIT);
			return;
		}
	} while (err && next_try(s, -err));
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

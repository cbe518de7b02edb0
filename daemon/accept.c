// SPDX-License-Identifier: GPL-2.0-or-later
#include "accept.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "accesslog.h"
#include "balance.h"
#include "bypass/maps.h"
#include "conn.h"
#include "daemon.h"
#include "listener.h"
#include "log.h"
#include "privileges.h"
#include "session.h"
#include "sniff/sniff.h"
#include "unixfile.h"
#include "upstream/pool.h"
#include "worker.h"

/* Connections taken in one turn, so that a flood of them leaves time for sessions. */
#define ACCEPT_BATCH 64

/* How soon accepting is tried again: a full house empties by itself, descriptors come back rarely.
 */
#define RETRY_FULL_NS    (20 * NSEC_PER_MSEC)
#define RETRY_STARVED_NS (100 * NSEC_PER_MSEC)

/* At most one line about starvation in this time, whatever is tried and fails in it. */
#define STARVED_LOG_NS (60 * NSEC_PER_SEC)

/* ---- pausing ---------------------------------------------------------------------------- */

static void pause_accept(struct listen_socket *ls, uint64_t ns)
{
	ls->paused = true;
	(void)event_del(ls->event); /* takes no memory, and the descriptor is valid */
	loop_timer_set(&ls->worker->loop, &ls->retry, ls->worker->loop.now + ns);
}

static void starved(struct listen_socket *ls, int err)
{
	static atomic_uint_fast64_t logged_ns;
	uint64_t now = ls->worker->loop.now, last = atomic_load(&logged_ns);

	stat_inc(&ls->worker->stats.accept_failures);
	/* Another worker's clock may be a little ahead. */
	if ((!last || (int64_t)(now - last) > (int64_t)STARVED_LOG_NS) &&
	    atomic_compare_exchange_strong(&logged_ns, &last, now))
		log_error("listener %s: accepting is paused until it works again: %s (%u sessions)",
			  ls->listener->config->name, strerror(err),
			  slots_used(&ls->listener->daemon->slots));
	pause_accept(ls, RETRY_STARVED_NS);
}

/* The reserve is what an accepted session's dial falls back on: no accepting without it. */
static bool refill_reserve(struct worker *w)
{
	if (w->reserve_fd < 0)
		w->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return w->reserve_fd >= 0;
}

/* It stays paused, and is tried again, until everything that accepting needs is there: watching the
 * socket takes the kernel's memory, too. */
static void on_retry(struct timer *t)
{
	struct listen_socket *ls = container_of(t, struct listen_socket, retry);

	if (!refill_reserve(ls->worker))
		loop_timer_set(&ls->worker->loop, t, ls->worker->loop.now + RETRY_STARVED_NS);
	else if (event_add(ls->event, NULL) < 0)
		starved(ls, errno);
	else
		ls->paused = false;
}

/* ---- accepting -------------------------------------------------------------------------- */

/* Resets a connection that never becomes a session, and logs that it ended so. Takes `fd`. */
static void turn_away(const struct listener *l, int fd, const struct addr *client, const char *end,
		      const char *reason)
{
	const struct daemon *d = l->daemon;
	struct conn c = {.fd = fd};
	char text[ADDR_STR_MAX];

	conn_close(&c, true);
	if (!atomic_load_explicit(&d->access_log, memory_order_relaxed))
		return;
	access_write_session(
	    &(struct access_session){.client = addr_format(client, text),
				     .listener = l->config->name,
				     .pool = l->pool ? l->pool->config->name : NULL,
				     .reason = reason,
				     .end = end});
}

/* Takes a place for one session, global and of the listener; SLOT_NONE: there is none. */
static uint32_t take_place(struct listener *l)
{
	unsigned int max = l->config->max_sessions, active = atomic_fetch_add(&l->active, 1);
	uint32_t slot = SLOT_NONE;

	if (!max || active < max)
		slot = slots_take(&l->daemon->slots);
	if (slot == SLOT_NONE)
		atomic_fetch_sub(&l->active, 1);
	return slot;
}

static void give_place(struct listener *l, uint32_t slot)
{
	slots_give(&l->daemon->slots, slot);
	atomic_fetch_sub(&l->active, 1);
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
	turn_away(l, fd, client, session_end_str[END_LIMIT], NULL);
	give_place(l, slot);
}

/* memory_max is near: those who are there keep what they have. */
static void refuse_for_memory(struct worker *w, struct listener *l, int fd, uint32_t slot,
			      const struct addr *client)
{
	stat_inc(&w->stats.ends[END_LIMIT]);
	stat_inc(&w->stats.memory_refusals);
	turn_away(l, fd, client, session_end_str[END_LIMIT], "memory");
	give_place(l, slot);
}

void accept_session(struct worker *w, struct listener *l, int fd, uint32_t slot,
		    const struct addr *client, bool denied)
{
	atomic_fetch_add(&l->total, 1);
	stat_inc(&w->stats.sessions_total);
	if (memory_refuses(&w->daemon->memory) && !listener_tells(l))
		refuse_for_memory(w, l, fd, slot, client);
	else if (!session_start(&w->home, l, fd, slot, client, denied, sniff_start))
		no_memory(w, l, fd, slot, client);
}

/* One connection. False: stop for this turn. */
static bool accept_one(struct listen_socket *ls)
{
	struct listener *l = ls->listener;
	struct addr client = {.len = sizeof(struct sockaddr_un)};
	uint32_t slot = take_place(l);
	bool denied;
	int fd, err;

	if (slot == SLOT_NONE) {
		pause_accept(ls, RETRY_FULL_NS);
		return false;
	}
	fd = accept4(ls->fd, &client.sa, &client.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	err = errno;
	if (fd >= 0)
		addr_unmap(&client);
	/* Behind a proxy that announces its clients, it is they who are allowed or denied. */
	denied =
	    fd >= 0 && l->config->accept_proxy == PROXY_ACCEPT_NO && !listener_allows(l, &client);
	if (fd >= 0 && (!denied || l->config->protocol == PROTOCOL_HTTP)) {
		if (denied)
			stat_inc(&ls->worker->stats.denied);
		conn_accepted(fd, &l->bound[(size_t)(ls - l->sockets) % l->config->n_binds],
			      &client);
		balance_start(ls->worker, l, fd, slot, &client, denied);
		return true;
	}
	give_place(l, slot);
	if (fd >= 0) {
		stat_inc(&ls->worker->stats.denied);
		turn_away(l, fd, &client, session_end_str[END_DENIED], NULL);
		return true;
	}
	switch (err) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		starved(ls, err);
		return false;
	default:
		/* The connection died in the queue, or a network error of it is reported here. */
		stat_inc(&ls->worker->stats.accept_failures);
		return true;
	}
}

static void on_accept(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct listen_socket *ls = arg;
	struct worker *w = ls->worker;

	w->loop.now = now_ns();
	for (int i = 0; i < ACCEPT_BATCH && !ls->paused; i++) {
		if (w->reserve_fd < 0 && !refill_reserve(w)) {
			starved(ls, EMFILE);
			return;
		}
		if (!accept_one(ls))
			return;
		worker_close_ended(w);
	}
}

/* ---- opening ---------------------------------------------------------------------------- */

static int fail(const struct listener *l, const struct addr *a, const char *call)
{
	char text[ADDR_STR_MAX];
	int err = -errno;

	return log_errno(err, "listener %s: %s: %s", l->config->name, addr_format(a, text), call);
}

static int set_options(const struct listener *l, int fd, const struct addr *a)
{
	int one = 1, ipv6_only = l->config->ipv6_only;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
		return fail(l, a, "SO_REUSEPORT");
	if (a->sa.sa_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &ipv6_only, sizeof(ipv6_only)) < 0)
		return fail(l, a, "IPV6_V6ONLY");
	errno = -conn_listen_options(fd, a);
	if (errno)
		return fail(l, a, "TCP_NODELAY, SO_OOBINLINE");
	if (conn_wants_keepalive(&l->config->tcp_keepalive, l->silence)) {
		errno = -conn_set_keepalive(fd, &l->config->tcp_keepalive);
		if (errno)
			return fail(l, a, "SO_KEEPALIVE");
	}
	daemon_own(l->daemon, fd);
	if (l->daemon->bypass && listener_bypasses(l)) {
		errno = -bypass_mark_listener(l->daemon->bypass, fd);
		if (errno)
			return fail(l, a, "marking it for the bypass");
	}
	return 0;
}

/*
 * With SO_REUSEPORT a second daemon would share the port with the first without a word, each
 * getting a part of the clients. A socket without it says whether somebody listens there already.
 */
static int check_unused(const struct listener *l, const struct addr *a)
{
	_cleanup_close_ int fd = -1;
	int one = 1, ipv6_only = l->config->ipv6_only;

	fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(l, a, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    (a->sa.sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &ipv6_only, sizeof(ipv6_only)) < 0))
		return fail(l, a, "SO_REUSEADDR, IPV6_V6ONLY");
	return bind(fd, &a->sa, a->len) < 0 ? fail(l, a, "bind") : 0;
}

static int bind_unix(struct listener *l, size_t bind_index, int fd)
{
	const struct listener_config *c = l->config;
	struct unix_access access = {.mode = c->unix_mode};
	int err = privileges_owner(c->unix_user, c->unix_group, &access.uid, &access.gid);

	return err ? err
		   : unix_file_bind(fd, &l->bound[bind_index], &access, &l->files[bind_index]);
}

/* Binds one descriptor; a->port becomes the one the kernel chose. */
static int open_socket(struct listener *l, size_t bind_index, int *ret)
{
	struct addr *a = &l->bound[bind_index];
	bool tcp = a->sa.sa_family != AF_UNIX;
	_cleanup_close_ int fd = -1;
	int err = 0;

	fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(l, a, "socket");
	if (tcp)
		err = set_options(l, fd, a);
	if (err)
		return err;
	errno = tcp ? (bind(fd, &a->sa, a->len) < 0 ? errno : 0) : -bind_unix(l, bind_index, fd);
	if (errno)
		return fail(l, a, "bind");
	if (listen(fd, (int)l->config->backlog) < 0)
		return fail(l, a, "listen");
	if (tcp && (l->config->protocol == PROTOCOL_HTTP || l->config->protocol == PROTOCOL_TLS))
		conn_ack_with_answer(fd);
	if (tcp && getsockname(fd, &a->sa, &a->len) < 0)
		return fail(l, a, "getsockname");
	*ret = TAKE_FD(fd);
	return 0;
}

static int open_bind(struct listener *l, size_t bind)
{
	unsigned int workers = l->daemon->n_workers;
	struct addr *a = &l->bound[bind];
	int first = -1, err;

	if (a->sa.sa_family != AF_UNIX && addr_port(a)) {
		err = check_unused(l, a);
		if (err)
			return err;
	}
	for (unsigned int i = 0; i < workers; i++) {
		struct listen_socket *ls = &l->sockets[i * l->config->n_binds + bind];

		/* A unix path can be bound once: the workers share one queue. */
		if (a->sa.sa_family == AF_UNIX && first >= 0) {
			ls->fd = fcntl(first, F_DUPFD_CLOEXEC, 0);
			err = ls->fd < 0 ? fail(l, a, "fcntl") : 0;
		} else {
			err = open_socket(l, bind, &ls->fd);
		}
		if (err)
			return err;
		first = ls->fd;
	}
	return 0;
}

int accept_open(struct listener *l, struct daemon *d, const struct listener_config *config)
{
	int err = listener_init(l, d, d->pools, config);

	if (err)
		return err;
	l->index = (size_t)(l - d->listeners);
	l->n_sockets = config->n_binds * d->n_workers;
	l->bound = calloc(config->n_binds, sizeof(*l->bound));
	l->sockets = calloc(l->n_sockets, sizeof(*l->sockets));
	l->files = calloc(config->n_binds, sizeof(*l->files));
	if (!l->bound || !l->sockets || !l->files) {
		l->n_sockets = l->sockets ? l->n_sockets : 0;
		return log_errno(-ENOMEM, "listener %s", config->name);
	}
	memcpy(l->bound, config->binds, config->n_binds * sizeof(*l->bound));
	for (size_t i = 0; i < l->n_sockets; i++)
		l->sockets[i] = (struct listen_socket){
		    .fd = -1, .listener = l, .worker = &d->workers[i / config->n_binds]};
	for (size_t i = 0; !err && i < config->n_binds; i++)
		err = open_bind(l, i);
	return err;
}

static void remove_files(struct listener *l)
{
	for (size_t i = 0; l->bound && l->files && i < l->config->n_binds; i++)
		if (l->bound[i].sa.sa_family == AF_UNIX)
			unix_file_remove(&l->bound[i], &l->files[i]);
}

void accept_close(struct listener *l)
{
	for (size_t i = 0; i < l->n_sockets; i++) {
		struct listen_socket *ls = &l->sockets[i];

		if (ls->fd >= 0)
			(void)close(ls->fd);
	}
	remove_files(l);
	listener_fini(l);
	free(l->sockets);
	free(l->bound);
	free(l->files);
	l->sockets = NULL;
	l->bound = NULL;
	l->files = NULL;
	l->n_sockets = 0;
}

/* ---- in the worker ---------------------------------------------------------------------- */

static struct listen_socket *of_worker(struct listener *l, const struct worker *w)
{
	return &l->sockets[w->index * l->config->n_binds];
}

int accept_start(struct listener *l, struct worker *w)
{
	struct listen_socket *ls = of_worker(l, w);

	for (size_t i = 0; i < l->config->n_binds; i++) {
		ls[i].event = event_new(w->base, ls[i].fd, EV_READ | EV_PERSIST, on_accept, &ls[i]);
		ls[i].retry.fire = on_retry;
		if (!ls[i].event || event_add(ls[i].event, NULL) < 0)
			return log_errno(-ENOMEM, "listener %s: worker %u", l->config->name,
					 w->index);
	}
	return 0;
}

void accept_stop(struct listener *l, struct worker *w)
{
	struct listen_socket *ls;

	if (!l->sockets)
		return;
	ls = of_worker(l, w);
	for (size_t i = 0; i < l->config->n_binds; i++) {
		if (ls[i].event)
			event_free(ls[i].event);
		ls[i].event = NULL;
		loop_timer_cancel(&w->loop, &ls[i].retry);
		/* Connections still in the queue are refused, as a closed port refuses them. */
		if (ls[i].fd >= 0) {
			(void)close(ls[i].fd);
			ls[i].fd = -1;
		}
	}
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "bypass/maps.h"
#include "config/config.h"
#include "conn.h"
#include "listener.h"
#include "log.h"
#include "privileges.h"
#include "setup.h"

/* ---- opening ---------------------------------------------------------------------------- */

/* An address that is being bound for a listener, and where mistakes are told. */
struct opening {
	const struct binder *binder;
	const struct listener *listener;
	size_t bind; /* its number there */
	struct binding *binding;
};

static int fail(const struct opening *o, const char *call)
{
	const struct listener_config *c = o->listener->config;
	char text[ADDR_STR_MAX], from[CONFIG_WHERE_MAX];
	int err = -errno, place = c->bind_lines ? c->bind_lines[o->bind] : c->where.line;

	(void)fprintf(o->binder->errors, "%s: listener %s: %s: %s: %s\n",
		      config_where(o->listener->setup->config, place, from), c->name,
		      addr_format(&o->binding->bound, text), call, strerror(-err));
	return err;
}

static int set_options(const struct opening *o, int fd)
{
	const struct listener *l = o->listener;
	const struct addr *a = &o->binding->bound;
	int one = 1, ipv6_only = o->binding->ipv6_only;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
		return fail(o, "SO_REUSEPORT");
	if (a->sa.sa_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &ipv6_only, sizeof(ipv6_only)) < 0)
		return fail(o, "IPV6_V6ONLY");
	errno = -conn_listen_options(fd, a);
	if (errno)
		return fail(o, "TCP_NODELAY, SO_OOBINLINE");
	if (conn_wants_keepalive(&l->config->tcp_keepalive, l->silence)) {
		errno = -conn_set_keepalive(fd, &l->config->tcp_keepalive);
		if (errno)
			return fail(o, "SO_KEEPALIVE");
	}
	o->binder->own(o->binder->daemon, fd);
	if (o->binder->bypass && listener_bypasses(l)) {
		errno = -bypass_mark_listener(o->binder->bypass, fd);
		if (errno)
			return fail(o, "marking it for the bypass");
	}
	return 0;
}

/*
 * With SO_REUSEPORT a second daemon would share the port with the first without a word, each
 * getting a part of the clients. A socket without it says whether somebody listens there already.
 */
static int check_unused(const struct opening *o)
{
	const struct addr *a = &o->binding->bound;
	int one = 1, ipv6_only = o->binding->ipv6_only;
	_cleanup_close_ int fd = -1;

	fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(o, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    (a->sa.sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &ipv6_only, sizeof(ipv6_only)) < 0))
		return fail(o, "SO_REUSEADDR, IPV6_V6ONLY");
	return bind(fd, &a->sa, a->len) < 0 ? fail(o, "bind") : 0;
}

static int bind_unix(const struct opening *o, int fd)
{
	const struct listener_config *c = o->listener->config;
	struct unix_access access = {.mode = c->unix_mode};
	int err = privileges_owner(c->unix_user, c->unix_group, &access.uid, &access.gid);

	return err ? err : unix_file_bind(fd, &o->binding->bound, &access, &o->binding->file);
}

/* Clients begin with a request, whose answer acknowledges it. */
static bool is_asked_first(const struct listener *l)
{
	return l->config->protocol == PROTOCOL_HTTP || l->config->protocol == PROTOCOL_TLS;
}

/* Binds one descriptor; the port becomes the one the kernel chose. */
static int open_socket(const struct opening *o, int *ret)
{
	struct addr *a = &o->binding->bound;
	bool tcp = a->sa.sa_family != AF_UNIX;
	_cleanup_close_ int fd = -1;
	int err = 0;

	fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(o, "socket");
	if (tcp)
		err = set_options(o, fd);
	if (err)
		return err;
	errno = tcp ? (bind(fd, &a->sa, a->len) < 0 ? errno : 0) : -bind_unix(o, fd);
	if (errno)
		return fail(o, "bind");
	if (listen(fd, (int)o->listener->config->backlog) < 0)
		return fail(o, "listen");
	if (tcp && is_asked_first(o->listener))
		conn_ack_with_answer(fd);
	if (tcp && getsockname(fd, &a->sa, &a->len) < 0)
		return fail(o, "getsockname");
	*ret = TAKE_FD(fd);
	return 0;
}

/* The descriptors of one address, of all workers. What is open when it fails is the binding's. */
static int open_sockets(const struct opening *o)
{
	struct binding *b = o->binding;
	bool unix_socket = b->bound.sa.sa_family == AF_UNIX;
	int first = -1, err = 0;

	if (!unix_socket && addr_port(&b->bound))
		err = check_unused(o);
	for (unsigned int i = 0; !err && i < b->n_sockets; i++) {
		struct listen_socket *ls = &b->sockets[i];

		/* A unix path can be bound once: the workers share one queue. */
		if (unix_socket && first >= 0) {
			ls->fd = fcntl(first, F_DUPFD_CLOEXEC, 0);
			err = ls->fd < 0 ? fail(o, "fcntl") : 0;
		} else {
			err = open_socket(o, &ls->fd);
		}
		first = ls->fd;
	}
	return err;
}

static void binding_free(struct binding *b)
{
	for (unsigned int i = 0; i < b->n_sockets; i++)
		closep_(&b->sockets[i].fd);
	if (b->bound.sa.sa_family == AF_UNIX)
		unix_file_remove(&b->bound, &b->file);
	free(b);
}

static struct binding *binding_new(const struct binder *by, const struct listener *l, size_t bind)
{
	struct binding *b = calloc(1, sizeof(*b) + by->n_workers * sizeof(b->sockets[0]));

	if (!b) {
		(void)fprintf(by->errors, "listener %s: %s\n", l->config->name, strerror(ENOMEM));
		return NULL;
	}
	b->wanted = b->bound = l->config->binds[bind];
	b->ipv6_only = l->config->ipv6_only;
	b->n_sockets = by->n_workers;
	for (unsigned int i = 0; i < b->n_sockets; i++)
		b->sockets[i] = (struct listen_socket){.binding = b, .fd = -1};
	if (open_sockets(&(struct opening){by, l, bind, b}) == 0)
		return b;
	binding_free(b);
	return NULL;
}

/* ---- over reloads ----------------------------------------------------------------------- */

/* Which of the setup before are taken by the one that is made. */
struct choice {
	const struct setup *was;
	bool other_names; /* those of listeners with another name are looked at, too */
};

static bool fits(const struct binding *b, const struct listener *l, const struct addr *wanted)
{
	return !b->taken && addr_equal(&b->wanted, wanted) &&
	       (wanted->sa.sa_family != AF_INET6 || b->ipv6_only == l->config->ipv6_only);
}

/* Its port may be any: who has had one goes on with it. */
static bool is_anonymous(const struct addr *a)
{
	return a->sa.sa_family != AF_UNIX && !addr_port(a);
}

static struct binding *find(const struct choice *c, const struct listener *l,
			    const struct addr *wanted)
{
	for (size_t i = 0; c->was && i < c->was->n_listeners; i++) {
		const struct listener *old = &c->was->listeners[i];

		if (old->account != l->account && (!c->other_names || is_anonymous(wanted)))
			continue;
		for (size_t j = 0; j < old->config->n_binds; j++)
			if (fits(old->bindings[j], l, wanted))
				return old->bindings[j];
	}
	return NULL;
}

/* Those that go on: first of the listeners with the same names. */
static void take(struct setup *s, const struct choice *c)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++) {
			if (!l->bindings[j])
				l->bindings[j] = find(c, l, &l->config->binds[j]);
			if (l->bindings[j])
				l->bindings[j]->taken = true;
		}
	}
}

static int open_new(const struct binder *by, struct setup *s)
{
	int err = 0;

	for (size_t i = 0; i < s->n_listeners; i++) {
		struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++) {
			if (!l->bindings[j])
				l->bindings[j] = binding_new(by, l, j);
			if (!l->bindings[j])
				err = -EADDRNOTAVAIL;
		}
	}
	return err;
}

static void forget_taken(const struct setup *was)
{
	for (size_t i = 0; was && i < was->n_listeners; i++)
		for (size_t j = 0; j < was->listeners[i].config->n_binds; j++)
			was->listeners[i].bindings[j]->taken = false;
}

int bindings_open(const struct binder *by, struct setup *s, const struct setup *was)
{
	int err;

	forget_taken(was);
	take(s, &(struct choice){.was = was});
	take(s, &(struct choice){.was = was, .other_names = true});
	err = open_new(by, s);
	if (err)
		bindings_undo(s);
	return err;
}

/* Of the address that stands for all. */
static const char *families(const struct binding *b)
{
	if (b->bound.sa.sa_family != AF_INET6 || !IN6_IS_ADDR_UNSPECIFIED(&b->bound.in6.sin6_addr))
		return "";
	return b->ipv6_only ? " (IPv6 only)" : " (IPv6 and IPv4)";
}

static void say(const struct listener *l)
{
	char text[ADDR_STR_MAX];

	for (size_t i = 0; i < l->config->n_binds; i++)
		log_about(LOG_LVL_INFO, LOG_ABOUT(.listener = l->config->name), "listener %s: %s%s",
			  l->config->name, addr_format(&l->bindings[i]->bound, text),
			  families(l->bindings[i]));
}

void bindings_say(const struct setup *s)
{
	for (size_t i = 0; i < s->n_listeners; i++)
		say(&s->listeners[i]);
}

bool binding_is_current(const struct binding *b)
{
	return b->newest;
}

/* Frees those that are nobody's. */
static void free_unowned(struct setup *s)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++) {
			if (l->bindings[j] && !l->bindings[j]->newest)
				binding_free(l->bindings[j]);
			l->bindings[j] = NULL;
		}
	}
}

static void disown(struct setup *s)
{
	for (size_t i = 0; i < s->n_listeners; i++)
		for (size_t j = 0; j < s->listeners[i].config->n_binds; j++)
			if (s->listeners[i].bindings[j])
				s->listeners[i].bindings[j]->newest = NULL;
}

void bindings_undo(struct setup *s)
{
	free_unowned(s);
}

/* What of a socket's options is the listener's, where it was another's or has changed. */
static void update(const struct binding *b, const struct listener *l)
{
	const struct tcp_keepalive *k = &l->config->tcp_keepalive;
	bool tcp = b->bound.sa.sa_family != AF_UNIX, asks = conn_wants_keepalive(k, l->silence);
	int err = 0;

	for (unsigned int i = 0; i < b->n_sockets; i++) {
		int fd = b->sockets[i].fd;

		if (listen(fd, (int)l->config->backlog) < 0)
			err = -errno;
		if (!tcp)
			continue;
		if (is_asked_first(l))
			conn_ack_with_answer(fd);
		else
			conn_ack_at_once(fd);
		err = MIN(err, conn_change_keepalive(fd, asks ? k : NULL));
	}
	if (err)
		(void)log_errno(err, "listener %s: changing its sockets", l->config->name);
}

void bindings_commit(struct setup *s, struct setup *was)
{
	if (was)
		disown(was);
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++) {
			if (was)
				update(l->bindings[j], l);
			l->bindings[j]->newest = l;
		}
	}
}

void bindings_retire(struct setup *was)
{
	free_unowned(was);
}

void bindings_close(struct setup *s)
{
	disown(s);
	free_unowned(s);
}

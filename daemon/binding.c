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
#include "parent/link.h"
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

	(void)fprintf(o->binder->errors, "%s: listener %s: %s: %s: %s%s\n",
		      config_where(o->listener->setup->config, place, from), c->name,
		      addr_format(&o->binding->bound, text), call, strerror(-err),
		      strcmp(call, "bind") == 0 ? privileges_for_bind(&o->binding->bound, err)
						: "");
	return err;
}

static int set_options(const struct opening *o, int fd)
{
	const struct listener *l = o->listener;

	errno = -conn_listen_options(fd, &o->binding->bound);
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

/* Clients begin with a request, whose answer acknowledges it. */
static bool is_asked_first(const struct listener *l)
{
	return l->config->protocol == PROTOCOL_HTTP || l->config->protocol == PROTOCOL_TLS;
}

/* Sockops knows it as ours by who calls listen(). */
static int make_ready(const struct opening *o, int fd)
{
	bool tcp = o->binding->bound.sa.sa_family != AF_UNIX;
	int err = tcp ? set_options(o, fd) : 0;

	if (err)
		return err;
	if (listen(fd, (int)o->listener->config->backlog) < 0)
		return fail(o, "listen");
	if (tcp && is_asked_first(o->listener))
		conn_ack_with_answer(fd);
	return 0;
}

/* Its number among those of the listener that are written so. */
static unsigned int occurrence(const struct opening *o)
{
	const struct listener_config *c = o->listener->config;
	unsigned int n = 0;

	for (size_t i = 0; i < o->bind; i++)
		n += addr_equal(&c->binds[i], &o->binding->wanted);
	return n;
}

/* The port that the kernel chooses is another one for each bind. */
static void give_name(const struct opening *o, char name[BIND_NAME_MAX])
{
	const struct listener_config *c = o->listener->config;
	const struct addr *a = &o->binding->wanted;
	char text[ADDR_STR_MAX];

	(void)addr_format(a, text);
	if (a->sa.sa_family != AF_UNIX && !addr_port(a))
		(void)snprintf(name, BIND_NAME_MAX, "%s %u of %s", text, occurrence(o), c->name);
	else
		(void)snprintf(name, BIND_NAME_MAX, "%s%s", text,
			       a->sa.sa_family == AF_INET6 && c->ipv6_only ? " only" : "");
}

static int request_of(const struct opening *o, struct bind_request *ret)
{
	const struct listener_config *c = o->listener->config;
	const struct addr *a = &o->binding->wanted;

	*ret = (struct bind_request){.addr = *a,
				     .access = {.mode = c->unix_mode},
				     .shared = a->sa.sa_family != AF_UNIX,
				     .ipv6_only = c->ipv6_only};
	memcpy(ret->name, o->binding->name, sizeof(ret->name));
	return a->sa.sa_family == AF_UNIX ? privileges_owner(c->unix_user, c->unix_group,
							     &ret->access.uid, &ret->access.gid)
					  : 0;
}

/* Gets one descriptor; the port becomes the one the kernel chose. */
static int open_socket(const struct opening *o, const struct bind_request *r, int *ret,
		       uint32_t *ret_n)
{
	struct binding *b = o->binding;
	struct message_held held;
	struct bound bound;
	const char *call;

	errno = -link_hold(o->binder->link, r, &bound, &held, &call);
	if (errno)
		return fail(o, call);
	*ret = bound.fd;
	b->bound = bound.addr;
	b->old = held.old && !o->binder->serving;
	*ret_n = held.n;
	if (bound.file.ours)
		b->file = bound.file;
	return b->old ? 0 : make_ready(o, *ret);
}

static void binding_free(struct binding *b)
{
	for (unsigned int i = 0; i < b->n_sockets; i++)
		closep_(&b->sockets[i].fd);
	if (b->bound.sa.sa_family == AF_UNIX)
		unix_file_remove(&b->bound, &b->file);
	free(b);
}

/* And has the parent close what it has of it. */
static void give_back(struct link *link, struct binding *b)
{
	char name[sizeof(b->name)];

	memcpy(name, b->name, sizeof(name));
	binding_free(b);
	link_release(link, name);
}

static struct binding *grow(struct binding *b, unsigned int n)
{
	struct binding *more = realloc(b, sizeof(*b) + n * sizeof(b->sockets[0]));

	if (!more)
		return NULL;
	for (unsigned int i = more->n_sockets; i < n; i++)
		more->sockets[i] = (struct listen_socket){.fd = -1};
	more->n_sockets = n;
	return more;
}

/* As many as there are workers, or as many as there are already: none may be left to itself. A unix
 * path is bound once: the workers share one queue. What is open when it fails is the binding's. */
static int open_sockets(struct opening *o)
{
	struct bind_request r;
	int err = 0;

	errno = -request_of(o, &r);
	if (errno)
		return fail(o, "bind");
	for (uint32_t i = 0; !err && i < o->binding->n_sockets; i++) {
		struct binding *more;
		uint32_t held = 0;

		r.index = i;
		if (i > 0 && !r.shared) {
			o->binding->sockets[i].fd =
			    fcntl(o->binding->sockets[0].fd, F_DUPFD_CLOEXEC, 0);
			err = o->binding->sockets[i].fd < 0 ? fail(o, "fcntl") : 0;
		} else {
			err = open_socket(o, &r, &o->binding->sockets[i].fd, &held);
		}
		if (err || held <= o->binding->n_sockets || !r.shared)
			continue;
		more = grow(o->binding, held);
		errno = ENOMEM;
		if (more)
			o->binding = more;
		else
			err = fail(o, "memory");
	}
	return err;
}

static struct binding *binding_new(const struct binder *by, const struct listener *l, size_t bind)
{
	struct binding *b = calloc(1, sizeof(*b) + by->n_workers * sizeof(b->sockets[0]));
	struct opening o = {.binder = by, .listener = l, .bind = bind, .binding = b};

	if (!b) {
		(void)fprintf(by->errors, "listener %s: %s\n", l->config->name, strerror(ENOMEM));
		return NULL;
	}
	b->wanted = b->bound = l->config->binds[bind];
	give_name(&o, b->name);
	b->ipv6_only = l->config->ipv6_only;
	b->n_sockets = by->n_workers;
	for (unsigned int i = 0; i < b->n_sockets; i++)
		b->sockets[i].fd = -1;
	if (open_sockets(&o) < 0) {
		give_back(by->link, o.binding);
		return NULL;
	}
	for (unsigned int i = 0; i < o.binding->n_sockets; i++)
		o.binding->sockets[i].binding = o.binding;
	return o.binding;
}

/* ---- from process to process ------------------------------------------------------------ */

int bindings_serve(const struct binder *by, struct setup *s)
{
	int err = 0;

	for (size_t i = 0; i < s->n_listeners; i++) {
		struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++) {
			struct binding *b = l->bindings[j];
			struct opening o = {.binder = by, .listener = l, .bind = j, .binding = b};
			int failed = 0;

			for (unsigned int k = 0; b->old && !failed && k < b->n_sockets; k++)
				failed = make_ready(&o, b->sockets[k].fd);
			b->old = false;
			err = err ? err : failed;
		}
	}
	return err;
}

bool bindings_disown(const struct binder *by, struct setup *s)
{
	bool any = false;

	for (size_t i = 0; i < s->n_listeners; i++) {
		struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++) {
			const struct binding *b = l->bindings[j];
			bool tcp = b->bound.sa.sa_family != AF_UNIX;

			for (unsigned int k = 0; tcp && k < b->n_sockets; k++) {
				any |= by->disown(by->daemon, b->sockets[k].fd);
				if (!by->bypass || !listener_bypasses(l))
					continue;
				bypass_unmark_listener(by->bypass, b->sockets[k].fd);
				any = true;
			}
		}
	}
	return any;
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
		bindings_undo(by->link, s);
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
static void free_unowned(struct link *link, struct setup *s)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++) {
			if (l->bindings[j] && !l->bindings[j]->newest)
				give_back(link, l->bindings[j]);
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

void bindings_undo(struct link *link, struct setup *s)
{
	free_unowned(link, s);
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

void bindings_retire(struct link *link, struct setup *was)
{
	free_unowned(link, was);
}

void bindings_close(struct setup *s)
{
	disown(s);
	free_unowned(NULL, s); /* the process ends: the next one may have them */
}

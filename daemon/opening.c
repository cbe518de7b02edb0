// SPDX-License-Identifier: GPL-2.0-or-later
#include "opening.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "bypass/maps.h"
#include "config/config.h"
#include "conn.h"
#include "listener.h"
#include "parent/link.h"
#include "privileges.h"
#include "setup.h"

/* What messages call it. */
static const struct addr *address_of(const struct opening *o)
{
	const struct addr *wanted = &o->listener->config->binds[o->bind];

	return addr_is_passed(wanted) || addr_is_steered(wanted) ? wanted : &o->binding->bound;
}

/* "FILE:LINE: listener NAME: ADDRESS" */
static void blame(const struct opening *o)
{
	const struct listener_config *c = o->listener->config;
	char text[ADDR_STR_MAX], from[CONFIG_WHERE_MAX];
	int place = listener_config_bind_place(c, o->bind);

	(void)fprintf(o->binder->errors, "%s: listener %s: %s",
		      config_where(o->listener->setup->config, place, from), c->name,
		      addr_format(address_of(o), text));
}

static int fail(const struct opening *o, const char *call)
{
	int err = -errno;
	bool bind = strcmp(call, "bind") == 0;

	blame(o);
	(void)fprintf(o->binder->errors, ": %s: %s%s\n", call, strerror(-err),
		      bind ? privileges_for_bind(&o->binding->bound, err) : "");
	return err;
}

static int set_options(const struct opening *o, const struct listen_socket *s)
{
	int fd = s->fd;
	const struct listener *l = o->listener;

	errno = -conn_listen_options(fd, &s->bound);
	if (errno)
		return fail(o, "TCP_NODELAY, SO_OOBINLINE");
	if (conn_wants_keepalive(&l->config->tcp_keepalive, l->silence)) {
		errno = -conn_set_keepalive(fd, &l->config->tcp_keepalive);
		if (errno)
			return fail(o, "SO_KEEPALIVE");
	}
	if (o->binding->foreign) {
		conn_stay_apart(fd);
		return 0;
	}
	o->binder->own(o->binder->daemon, fd);
	if (o->binder->bypass && listener_marks_clients(l)) {
		errno = -bypass_mark_listener(o->binder->bypass, fd);
		if (errno)
			return fail(o, "marking it for the bypass");
	}
	return 0;
}

bool binding_is_asked_first(const struct listener *l)
{
	return l->config->protocol == PROTOCOL_HTTP || l->config->protocol == PROTOCOL_TLS;
}

int binding_make_ready(const struct opening *o, const struct listen_socket *s)
{
	bool tcp = s->bound.sa.sa_family != AF_UNIX;
	int err = tcp ? set_options(o, s) : 0;

	if (err)
		return err;
	if (listen(s->fd, (int)o->listener->config->backlog) < 0)
		return fail(o, "listen");
	if (tcp && binding_is_asked_first(o->listener))
		conn_ack_with_answer(s->fd);
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

/* Where what is steered is accepted: at an address of loopback that nobody is told, by one socket
 * of both families. The kernel takes no other for IPv4 and IPv6 (bpf_sk_lookup_assign()). */
static struct addr hidden_address(void)
{
	struct addr a = {.len = sizeof(a.in6), .in6.sin6_family = AF_INET6};
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.in6.sin6_addr.s6_addr[10] = a.in6.sin6_addr.s6_addr[11] = 0xff;
	a.in6.sin6_addr.s6_addr[12] = IN_LOOPBACKNET;
	a.in6.sin6_addr.s6_addr[15] = 1;
	if (fd < 0)
		addr_unmap(&a); /* this kernel has no IPv6 */
	return a;
}

/* What a later worker or setup makes of the same file, too, whatever other addresses have come or
 * gone. The port that the kernel chooses is another one for each bind; where it chose one for IPv6
 * and IPv4 it is that of both. */
static void give_name(const struct opening *o, char name[BIND_NAME_MAX])
{
	const struct listener_config *c = o->listener->config;
	const struct addr *a = &o->binding->wanted;
	char text[ADDR_STR_MAX];

	(void)addr_write(a, text);
	if (addr_is_steered(a))
		(void)snprintf(name, BIND_NAME_MAX, "steer 0 of %s", c->name);
	else if (addr_has_port(a) && !addr_port(a))
		(void)snprintf(name, BIND_NAME_MAX, "%s%s %u of %s", text,
			       a->sa.sa_family == AF_INET6 && !c->ipv6_only ? " both" : "",
			       occurrence(o), c->name);
	else
		(void)snprintf(name, BIND_NAME_MAX, "%s%s", text,
			       a->sa.sa_family == AF_INET6 && c->ipv6_only ? " only" : "");
}

static int request_of(const struct binding *b, const struct listener *l, struct bind_request *ret)
{
	const struct listener_config *c = l->config;
	const struct addr *a = &b->wanted;
	bool steered = addr_is_steered(a);

	*ret = (struct bind_request){.addr = steered ? hidden_address() : *a,
				     .access = {.mode = c->unix_mode},
				     .shared = steered || addr_has_port(a),
				     .ipv6_only = c->ipv6_only && !steered,
				     .hidden = steered};
	memcpy(ret->name, b->name, sizeof(ret->name));
	return a->sa.sa_family == AF_UNIX ? privileges_owner(c->unix_user, c->unix_group,
							     &ret->access.uid, &ret->access.gid)
					  : 0;
}

static int change_access(struct link *link, struct binding *b, const struct bind_request *r)
{
	return link ? link_change(link, r) : unix_file_change(&b->file, &r->access);
}

int binding_give(const struct opening *o)
{
	struct bind_request r;

	errno = -request_of(o->binding, o->listener, &r);
	if (!errno)
		errno = -change_access(o->binder->link, o->binding, &r);
	return errno ? fail(o, "changing its owner and mode") : 0;
}

int binding_take_back(struct link *link, struct binding *b, const struct listener *l)
{
	struct bind_request r;
	int err = request_of(b, l, &r);

	r.access.mode |= UNIX_BEFORE;
	return err ? err : change_access(link, b, &r);
}

static int fail_to_hold(const struct opening *o, const char *call)
{
	if (!addr_is_passed(&o->binding->wanted) || (errno != ENOENT && errno != EINVAL))
		return fail(o, call);
	blame(o);
	(void)fprintf(o->binder->errors, ": %s\n", call);
	return -errno;
}

/* Gets one descriptor; the port becomes the one the kernel chose. How many of the name there are:
 * *ret_n. */
static int open_socket(const struct opening *o, const struct bind_request *r,
		       struct listen_socket *s, uint32_t *ret_n)
{
	struct binding *b = o->binding;
	struct message_held held;
	struct bound bound;
	const char *call;

	errno = -link_hold(o->binder->link, r, &bound, &held, &call);
	if (errno)
		return fail_to_hold(o, call);
	s->fd = bound.fd;
	s->bound = addr_is_steered(&b->wanted) ? b->wanted : bound.addr;
	s->hidden = bound.addr;
	b->bound = addr_is_passed(&b->wanted) && held.n > 1 ? b->wanted : bound.addr;
	b->old |= held.old && !o->binder->serving;
	b->outlives |= held.outlives;
	b->foreign |= held.foreign && bound.addr.sa.sa_family != AF_UNIX;
	*ret_n = held.n;
	if (bound.file.ours)
		b->file = bound.file;
	return b->old ? 0 : binding_make_ready(o, s);
}

static void binding_free(struct binding *b)
{
	for (unsigned int i = 0; i < b->n_sockets; i++)
		closep_(&b->sockets[i].fd);
	unix_file_remove(&b->bound, &b->file); /* if it has one */
	free(b);
}

/* And has the parent close what it has of it. */
void binding_give_back(struct link *link, const struct bypass_maps *bypass, struct binding *b)
{
	char name[sizeof(b->name)];

	for (unsigned int i = 0; bypass && i < b->n_sockets; i++)
		if (b->sockets[i].fd >= 0)
			bypass_unmark_listener(bypass, b->sockets[i].fd);
	memcpy(name, b->name, sizeof(name));
	binding_free(b);
	if (*name)
		link_release(link, name);
}

/* Room for so many, if there is not. */
static int grow(struct opening *o, unsigned int n)
{
	struct binding *more;

	if (n <= o->binding->n_sockets)
		return 0;
	more = realloc(o->binding, sizeof(*more) + n * sizeof(more->sockets[0]));
	errno = ENOMEM;
	if (!more)
		return fail(o, "memory");
	for (unsigned int i = more->n_sockets; i < n; i++)
		more->sockets[i] = (struct listen_socket){.fd = -1};
	more->n_sockets = n;
	o->binding = more;
	return 0;
}

/* As many as there are workers, or as many as there are already: none may be left to itself. */
static int open_shared(struct opening *o, struct bind_request *r)
{
	uint32_t held = 0;
	int err = 0;

	for (uint32_t i = 0; !err && i < o->binding->n_sockets; i++) {
		r->index = i;
		err = open_socket(o, r, &o->binding->sockets[i], &held);
		if (!err)
			err = grow(o, held);
	}
	return err;
}

/* One socket, or those that were passed: the workers share the queue of each. */
static int open_copies(struct opening *o, struct bind_request *r)
{
	unsigned int workers = o->binder->n_workers;
	uint32_t n = 1;
	int err = 0;

	for (uint32_t i = 0; !err && i < n; i++) {
		struct listen_socket *first;

		r->index = i;
		err = grow(o, (i + 1) * workers);
		if (err)
			return err;
		first = &o->binding->sockets[i * workers];
		err = open_socket(o, r, first, &n);
		for (unsigned int k = 1; !err && k < workers; k++) {
			first[k].bound = first->bound;
			first[k].fd = fcntl(first->fd, F_DUPFD_CLOEXEC, 0);
			err = first[k].fd < 0 ? fail(o, "fcntl") : 0;
		}
	}
	return err;
}

/* What is open when it fails is the binding's. */
static int open_sockets(struct opening *o)
{
	struct bind_request r;

	errno = -request_of(o->binding, o->listener, &r);
	if (errno)
		return fail(o, "bind");
	return r.shared ? open_shared(o, &r) : open_copies(o, &r);
}

/* Whatever is steered to a listener comes to the sockets of its first range. */
static bool has_sockets(const struct listener *l, size_t bind)
{
	return !bind || !addr_is_steered(&l->config->binds[bind]);
}

struct binding *binding_new(const struct binder *by, const struct listener *l, size_t bind)
{
	unsigned int n = has_sockets(l, bind) ? by->n_workers : 0;
	struct binding *b = calloc(1, sizeof(*b) + n * sizeof(b->sockets[0]));
	struct opening o = {.binder = by, .listener = l, .bind = bind, .binding = b};

	if (!b) {
		(void)fprintf(by->errors, "listener %s: %s\n", l->config->name, strerror(ENOMEM));
		return NULL;
	}
	b->wanted = b->bound = l->config->binds[bind];
	b->ipv6_only = l->config->ipv6_only;
	b->n_sockets = n;
	if (!n)
		return b;
	give_name(&o, b->name);
	for (unsigned int i = 0; i < b->n_sockets; i++)
		b->sockets[i].fd = -1;
	if (open_sockets(&o) < 0) {
		binding_give_back(by->link, by->bypass, o.binding);
		return NULL;
	}
	for (unsigned int i = 0; i < o.binding->n_sockets; i++)
		o.binding->sockets[i].binding = o.binding;
	return o.binding;
}

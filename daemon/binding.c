// SPDX-License-Identifier: GPL-2.0-or-later
#include "binding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bypass/maps.h"
#include "config/config.h"
#include "conn.h"
#include "listener.h"
#include "log.h"
#include "opening.h"
#include "parent/link.h"
#include "setup.h"

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
				failed = binding_make_ready(&o, &b->sockets[k]);
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

			for (unsigned int k = 0; k < b->n_sockets; k++) {
				/* What is hidden is nobody else's. */
				if (b->sockets[k].bound.sa.sa_family == AF_UNIX ||
				    bound_is_hidden(b->sockets[k].fd))
					continue;
				any |= by->disown(by->daemon, b->sockets[k].fd);
				if (!by->bypass || l->config->local_bypass == LOCAL_BYPASS_NO)
					continue;
				bypass_unmark_listener(by->bypass, b->sockets[k].fd);
				any = true;
			}
		}
	}
	return any;
}

static bool leaves(const struct binding *b, enum binding_leaves what)
{
	if (what == BINDING_ALL)
		return !b->outlives;
	return !binding_is_current(b) && !addr_is_passed(&b->wanted);
}

static void hide(struct link *link, const struct bypass_maps *bypass, const struct binding *b,
		 const char *listener)
{
	bool is_tcp = b->n_sockets && b->sockets[0].bound.sa.sa_family != AF_UNIX;
	bool done = link && is_tcp && link_hide(link, b->name) == 0;
	int err = 0;

	for (unsigned int i = 0; i < b->n_sockets; i++) {
		if (b->sockets[i].fd < 0 || b->sockets[i].bound.sa.sa_family == AF_UNIX)
			continue;
		if (bypass)
			bypass_forget_listener(bypass, b->sockets[i].fd);
		if (!done)
			err = MIN(err, bound_hide(b->sockets[i].fd));
	}
	if (err)
		(void)log_errno(err, "listener %s: hiding what is closed", listener);
}

void bindings_hide(struct link *link, const struct bypass_maps *bypass, const struct setup *s,
		   enum binding_leaves what)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		const struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++)
			if (leaves(l->bindings[j], what))
				hide(link, bypass, l->bindings[j], l->config->name);
	}
}

bool bindings_outlive(const struct setup *s)
{
	for (size_t i = 0; i < s->n_listeners; i++)
		for (size_t j = 0; j < s->listeners[i].config->n_binds; j++)
			if (s->listeners[i].bindings[j]->outlives)
				return true;
	return false;
}

/* ---- over reloads ----------------------------------------------------------------------- */

/* Which of the setup before are taken by the one that is made. */
struct choice {
	const struct setup *was;
	bool other_names; /* those of listeners with another name are looked at, too */
};

/* Of an old listener, the nth bind's. What is steered to sockets is not theirs to know: whatever
 * the range, who waits there has come to the listener. */
static bool fits(const struct listener *old, size_t nth, const struct listener *l,
		 const struct addr *wanted)
{
	const struct addr *was = &old->config->binds[nth];
	const struct binding *b = old->bindings[nth];

	if (addr_is_steered(was) && addr_is_steered(wanted))
		return !b->taken && b->n_sockets;
	return !b->taken && addr_equal(was, wanted) &&
	       (wanted->sa.sa_family != AF_INET6 || b->ipv6_only == l->config->ipv6_only);
}

/* Its port may be any: who has had one goes on with it. */
static bool is_anonymous(const struct addr *a)
{
	return addr_is_steered(a) || (addr_has_port(a) && !addr_port(a));
}

static struct binding *find(const struct choice *c, const struct listener *l,
			    const struct addr *wanted)
{
	for (size_t i = 0; c->was && i < c->was->n_listeners; i++) {
		const struct listener *old = &c->was->listeners[i];

		if (old->account != l->account && (!c->other_names || is_anonymous(wanted)))
			continue;
		for (size_t j = 0; j < old->config->n_binds; j++)
			if (fits(old, j, l, wanted))
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
			if (!l->bindings[j])
				continue;
			l->bindings[j]->taken = true;
			/* Who was sent there before is in the queue. */
			if (l->bindings[j]->newest && l->bindings[j]->newest->intercepts)
				l->intercepts = true;
		}
	}
}

static int open_new(const struct binder *by, struct setup *s, bool passed)
{
	int err = 0;

	for (size_t i = 0; i < s->n_listeners; i++) {
		struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++) {
			if (addr_is_passed(&l->config->binds[j]) != passed)
				continue;
			if (!l->bindings[j])
				l->bindings[j] = binding_new(by, l, j);
			if (l->bindings[j])
				l->foreign |= l->bindings[j]->foreign;
			else
				err = -EADDRNOTAVAIL;
		}
	}
	return err;
}

static bool has_other_access(const struct listener_config *a, const struct listener_config *b)
{
	return a->unix_mode != b->unix_mode || strcmp(a->unix_user, b->unix_user) != 0 ||
	       strcmp(a->unix_group, b->unix_group) != 0;
}

/* Files of sockets that stay go to whom the new options say: while it may fail. */
static int give(const struct binder *by, const struct listener *l)
{
	int err = 0;

	for (size_t j = 0; !err && j < l->config->n_binds; j++) {
		struct binding *b = l->bindings[j];
		struct opening o = {.binder = by, .listener = l, .bind = j, .binding = b};

		if (b->wanted.sa.sa_family != AF_UNIX || !b->newest ||
		    !has_other_access(b->newest->config, l->config))
			continue;
		err = binding_give(&o);
		b->given = !err;
	}
	return err;
}

/* The setup will not be: they are as they were. */
static void take_back(struct link *link, const struct setup *s)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		const struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++) {
			struct binding *b = l->bindings[j];
			int err = 0;

			if (!b || !b->given)
				continue;
			b->given = false;
			err = binding_take_back(link, b, b->newest);
			if (err)
				(void)log_errno(err, "listener %s: giving %s back", l->config->name,
						b->wanted.un.sun_path);
		}
	}
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
	/* A listener whose clients are copied does not mark its own sockets for the bypass. */
	err = open_new(by, s, true);
	err = MIN(err, open_new(by, s, false));
	for (size_t i = 0; !err && i < s->n_listeners; i++)
		err = give(by, &s->listeners[i]);
	if (err)
		bindings_undo(by->link, by->bypass, s);
	return err;
}

/* Of the address that stands for all. */
static const char *families(const struct binding *b)
{
	if (b->bound.sa.sa_family != AF_INET6 || addr_is_passed(&b->wanted) ||
	    !IN6_IS_ADDR_UNSPECIFIED(&b->bound.in6.sin6_addr))
		return "";
	return b->ipv6_only ? " (IPv6 only)" : " (IPv6 and IPv4)";
}

static void say_where(const struct listener *l, const struct addr *where, const char *more)
{
	char text[ADDR_STR_MAX];

	log_about(LOG_LVL_INFO, LOG_ABOUT(.listener = l->config->name), "listener %s: %s%s",
		  l->config->name, addr_format(where, text), more);
}

static void say_passed(const struct listener *l, const struct binding *b)
{
	char name[ADDR_STR_MAX], more[ADDR_STR_MAX + 8];

	(void)snprintf(more, sizeof(more), " (%s)", addr_format(&b->wanted, name));
	/* The workers' copies of one follow each other, and have the same address. */
	for (unsigned int i = 0; i < b->n_sockets; i++)
		if (!i || !addr_equal(&b->sockets[i].bound, &b->sockets[i - 1].bound))
			say_where(l, &b->sockets[i].bound, more);
}

static void say(const struct listener *l)
{
	for (size_t i = 0; i < l->config->n_binds; i++) {
		const struct binding *b = l->bindings[i];

		if (addr_is_passed(&b->wanted))
			say_passed(l, b);
		else if (addr_is_steered(&b->wanted))
			say_where(l, &l->config->binds[i], "");
		else
			say_where(l, &b->bound, families(b));
	}
}

void bindings_say(const struct setup *s)
{
	for (size_t i = 0; i < s->n_listeners; i++)
		say(&s->listeners[i]);
}

void bindings_say_copied(const struct setup *s)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		const char *name = s->listeners[i].config->name;

		if (s->listeners[i].foreign)
			log_about(LOG_LVL_WARNING, LOG_ABOUT(.listener = name),
				  "listener %s: its clients are copied (foreign): a socket of it "
				  "was made "
				  "in another cgroup, where the kernel engine does not reach them",
				  name);
	}
}

bool binding_is_current(const struct binding *b)
{
	return b->newest;
}

/* Frees those that are nobody's. */
static void free_unowned(struct link *link, const struct bypass_maps *bypass, struct setup *s)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++) {
			if (l->bindings[j] && !l->bindings[j]->newest)
				binding_give_back(link, bypass, l->bindings[j]);
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

void bindings_undo(struct link *link, const struct bypass_maps *bypass, struct setup *s)
{
	take_back(link, s);
	free_unowned(link, bypass, s);
}

static int change_mark(const struct binder *by, int fd, bool marked)
{
	if (marked)
		return bypass_mark_listener(by->bypass, fd);
	bypass_unmark_listener(by->bypass, fd);
	return 0;
}

/* What the sockets of an address are for its listener, where they were something else before. */
static void follow(const struct binder *by, const struct binding *b, const struct listener *l)
{
	struct listener *was = b->newest;
	bool marked = listener_marks_clients(l);
	char at[ADDR_STR_MAX];
	int err = 0;

	/* Those that come before its worker knows the newest. */
	if (l->intercepts)
		was->intercepts = true;
	if (by->bypass && !b->foreign && marked != listener_marks_clients(was))
		for (unsigned int i = 0; !err && i < b->n_sockets; i++)
			if (b->sockets[i].bound.sa.sa_family != AF_UNIX)
				err = change_mark(by, b->sockets[i].fd, marked);
	if (err)
		(void)log_errno(err, "listener %s: what is different of %s", l->config->name,
				addr_format(&b->bound, at));
}

/* What of a socket's options is the listener's, where it was another's or has changed. */
static void update(const struct binding *b, const struct listener *l)
{
	const struct tcp_keepalive *k = &l->config->tcp_keepalive;
	bool asks = conn_wants_keepalive(k, l->silence);
	int err = 0;

	for (unsigned int i = 0; i < b->n_sockets; i++) {
		int fd = b->sockets[i].fd;

		if (listen(fd, (int)l->config->backlog) < 0)
			err = -errno;
		if (b->sockets[i].bound.sa.sa_family == AF_UNIX)
			continue;
		if (binding_is_asked_first(l))
			conn_ack_with_answer(fd);
		else
			conn_ack_at_once(fd);
		err = MIN(err, conn_change_keepalive(fd, asks ? k : NULL));
	}
	if (err)
		(void)log_errno(err, "listener %s: changing its sockets", l->config->name);
}

/* Before they are disowned. */
static void follow_all(const struct binder *by, struct setup *s)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		const struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++)
			if (l->bindings[j]->newest)
				follow(by, l->bindings[j], l);
	}
}

void bindings_commit(const struct binder *by, struct setup *s, struct setup *was)
{
	follow_all(by, s);
	if (was)
		disown(was);
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++) {
			if (was)
				update(l->bindings[j], l);
			l->bindings[j]->given = false;
			l->bindings[j]->newest = l;
		}
	}
}

void bindings_retire(struct link *link, const struct bypass_maps *bypass, struct setup *was)
{
	free_unowned(link, bypass, was);
}

void bindings_close(struct setup *s)
{
	disown(s);
	free_unowned(NULL, NULL, s); /* the process ends: the next one may have them */
}

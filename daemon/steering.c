// SPDX-License-Identifier: GPL-2.0-or-later
#include "steering.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"
#include "cgroup.h"
#include "config/config.h"
#include "config/steer.h"
#include "intercept/lookup.h"
#include "listener.h"
#include "log.h"
#include "parent/link.h"
#include "setup.h"

/* What is left with the parent for the next worker process. */
#define STRING_(x) #x
#define STRING(x)  STRING_(x)
#define LAYOUT     " " STRING(STEER_LAYOUT)
static const char own_name[] = "steer own" LAYOUT;
static const char serving_name[] = "steer serving" LAYOUT;
static const char link_name[] = "steer link";

struct steering {
	struct lookup lookup;
	struct lookup_maps maps;
	bool serves;
	struct addr *excepts; /* where the daemon listens, but for its listeners */
	size_t n_excepts;
};

/* ---- opening ---------------------------------------------------------------------------- */

bool steering_is_wanted(const struct config *c)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		if (listener_config_is_steered(&c->listeners[i]))
			return true;
	return false;
}

/* When this process dies, what comes waits in the queues for the next one, and what is forgotten of
 * its connects is. */
static void leave(const struct steering *st, struct link *link)
{
	link_leave(link, own_name, st->maps.own_fd);
	link_leave(link, serving_name, st->maps.serving_fd);
	link_leave(link, link_name, lookup_exempt_link(&st->lookup));
	link_leave(link, link_name, lookup_link(&st->lookup));
}

static int open_own(struct steering *st, char why[256])
{
	char own[512];
	int err = cgroup_own_path(own, sizeof(own));

	if (!err)
		return lookup_open(&st->lookup, own, false, &st->maps, why);
	(void)snprintf(why, 256, "finding the daemon's cgroup: %s", cgroup_strerror(err));
	return err;
}

/* All daemons of this kind are to be known that can be seen, for two that steer the same would pass
 * a connection on to each other without end. */
static int open_programs(struct steering *st, char why[256])
{
	char path[512];

	if (cgroup_top_path(path, sizeof(path)) == 0 &&
	    lookup_open(&st->lookup, path, false, &st->maps, why) == 0)
		return 0;
	lookup_close(&st->lookup);
	return open_own(st, why);
}

int steering_open(struct link *link, struct steering **ret, char why[256])
{
	struct steering *st = calloc(1, sizeof(*st));
	int err;

	if (!st) {
		(void)snprintf(why, 256, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	*ret = st;
	st->maps.own_fd = link_fetch(link, own_name);
	st->maps.serving_fd = link_fetch(link, serving_name);
	err = open_programs(st, why);
	if (!err)
		leave(st, link);
	return err;
}

/* "FILE:LINE: listener NAME: steer:...: " */
static void blame(const struct config *c, const struct listener_config *l, size_t bind, FILE *out)
{
	char text[ADDR_STR_MAX], from[CONFIG_WHERE_MAX];

	(void)fprintf(out, "%s: listener %s: %s: ",
		      config_where(c, listener_config_bind_place(l, bind), from), l->name,
		      addr_format(&l->binds[bind], text));
}

static void refuse(const struct config *c, const char *why, FILE *out)
{
	for (size_t i = 0; i < c->n_listeners; i++) {
		const struct listener_config *l = &c->listeners[i];

		if (!listener_config_is_steered(l))
			continue;
		blame(c, l, 0, out);
		(void)fprintf(out, "nothing can be steered: %s\n", why);
	}
}

void steering_refuse(const struct config *c, const char *why)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out) {
		(void)log_errno(-ENOMEM, "nothing can be steered: %s", why);
		return;
	}
	refuse(c, why, out);
	if (fclose(out) != 0 || !text)
		(void)log_errno(-ENOMEM, "nothing can be steered: %s", why);
	else
		log_lines(LOG_LVL_ERROR, "", text);
}

void steering_close(struct steering *st)
{
	if (!st)
		return;
	lookup_close(&st->lookup);
	closep_(&st->maps.own_fd);
	closep_(&st->maps.serving_fd);
	free(st->excepts);
	free(st);
}

/* ---- orders ----------------------------------------------------------------------------- */

int steering_except(struct steering *st, const struct addr *bound)
{
	struct addr *all;

	if (!st)
		return 0;
	all = reallocarray(st->excepts, st->n_excepts + 1, sizeof(*all));
	if (!all)
		return log_errno(-ENOMEM, "steering");
	st->excepts = all;
	all[st->n_excepts++] = *bound;
	return 0;
}

static bool is_ipv6_only(int fd)
{
	socklen_t len = sizeof(int);
	int value = 0;

	return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &len) == 0 && value;
}

/* Where a listener is that nothing is steered to. */
static int add_places(struct lookup *l, const struct binding *b)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < b->n_sockets; i++) {
		const struct listen_socket *s = &b->sockets[i];

		/* The workers' sockets of one address follow each other. */
		if (addr_has_port(&s->bound) &&
		    (!i || !addr_equal(&s->bound, &b->sockets[i - 1].bound)))
			err = lookup_add_place(l, &s->bound, is_ipv6_only(s->fd), STEER_OPEN);
	}
	return err;
}

static int add_rules(struct lookup *l, const struct addr *a, unsigned int n)
{
	_cleanup_steer_ struct steer s = {0};
	int err = steer_of(a, &s);

	for (size_t i = 0; !err && i < s.n_except; i++)
		err = lookup_add_rule(l, &s.except[i], STEER_EXCEPT, n);
	return err ? err : lookup_add_rule(l, &s.what, STEER_TAKE, n);
}

/* Where what is steered to the nth of those listeners arrives. Who connects there has asked for no
 * address. */
static int add_hidden(struct lookup *l, struct binding *b, unsigned int n)
{
	int err = lookup_add_place(l, &b->bound, true, STEER_HIDDEN);

	if (!err)
		err = lookup_add_listener(l, n, b->sockets[0].fd);
	b->sockets[0].mapped |= !err;
	return err;
}

/* What the listener's nth bind means; `steered` is its number among those that are steered to. */
static int add_bind(struct lookup *l, const struct listener *listener, size_t nth,
		    unsigned int steered)
{
	const struct addr *a = &listener->config->binds[nth];
	struct binding *b = listener->bindings[nth];
	int err = 0;

	if (!addr_is_steered(a))
		return add_places(l, b);
	if (b->n_sockets)
		err = add_hidden(l, b, steered);
	return err ? err : add_rules(l, a, steered);
}

static int prepare(struct lookup *l, const struct setup *s, FILE *errors)
{
	unsigned int steered = 0;

	for (size_t i = 0; i < s->n_listeners; i++) {
		const struct listener *listener = &s->listeners[i];

		for (size_t j = 0; j < listener->config->n_binds; j++) {
			int err = add_bind(l, listener, j, steered);

			if (!err)
				continue;
			blame(s->config, listener->config, j, errors);
			(void)fprintf(errors, "steering: %s\n", strerror(-err));
			return err;
		}
		steered += listener->steered;
	}
	return 0;
}

int steering_prepare(struct steering *st, const struct setup *s, FILE *errors)
{
	int err;

	if (!st && steering_is_wanted(s->config)) {
		refuse(s->config,
		       "the worker has given up what it takes, as nothing was steered: it takes an "
		       "upgrade or a restart",
		       errors);
		return -EPERM;
	}
	if (!st)
		return 0;
	err = lookup_begin(&st->lookup);
	for (size_t i = 0; !err && i < st->n_excepts; i++)
		err = lookup_add_place(&st->lookup, &st->excepts[i], false, STEER_OPEN);
	if (!err)
		return prepare(&st->lookup, s, errors);
	(void)fprintf(errors, "%s: steering: %s\n", s->config->path, strerror(-err));
	return err;
}

void steering_commit(struct steering *st)
{
	if (st)
		lookup_commit(&st->lookup);
}

int steering_serve(struct steering *st)
{
	int err;

	if (!st)
		return 0;
	st->lookup.orders->ready = 1;
	err = lookup_serve(&st->lookup);
	if (err)
		return log_errno(err, "steering");
	st->serves = true;
	return 0;
}

void steering_end(struct steering *st)
{
	if (!st)
		return;
	st->lookup.orders->ready = 0;
	st->serves = false;
	lookup_detach(&st->lookup);
}

/* ---- what came here --------------------------------------------------------------------- */

struct addr *steering_original(int fd)
{
	struct addr *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->len = sizeof(a->un);
	if (getsockname(fd, &a->sa, &a->len) < 0) {
		free(a);
		return NULL;
	}
	addr_unmap(a);
	return a;
}

/* ---- reports ---------------------------------------------------------------------------- */

bool steering_figures(const struct steering *st, struct steering_figures *ret)
{
	const volatile struct steer_counts *c;

	if (!st)
		return false;
	c = st->lookup.counts;
	*ret = (struct steering_figures){.active = st->serves,
					 .steered = c->steered,
					 .own = c->own,
					 .missed = c->missed,
					 .unkept = c->unkept};
	return true;
}

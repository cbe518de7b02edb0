// SPDX-License-Identifier: GPL-2.0-or-later
#include "interception.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "binding.h"
#include "cgroup.h"
#include "claims.h"
#include "config/config.h"
#include "intercept/origin.h"
#include "intercept/programs.h"
#include "listener.h"
#include "log.h"
#include "parent/link.h"
#include "setup.h"

/* Connects that the daemon has not accepted yet. */
#define MAX_FLOWS 65536

/* The maps, as they are left with the parent for the next worker process. */
#define STRING_(x) #x
#define STRING(x)  STRING_(x)
#define LAYOUT     " " STRING(INTERCEPT_LAYOUT)
static const char flows_name[] = "intercept flows" LAYOUT;
static const char origins_name[] = "intercept origins" LAYOUT;
static const char arrivals_name[] = "intercept arrivals" LAYOUT;
static const char link_name[] = "intercept link";

/* One [intercept NAME]. */
struct intercept {
	char *name;
	const char *listener; /* of the newest setup's file */
	char cgroup[512];
	struct programs programs;
	bool open;
	bool required;
	bool aimed; /* its listener has an address */
	bool early; /* who accepts there expects what is sent: see claims.h */
};

struct interception {
	struct intercept_maps maps;
	struct link *link; /* to the parent; NULL: there is none */
	char own[512];     /* the daemon's cgroup */
	bool shared;       /* what all of them share is there, and left with the parent */
	bool ready;
	bool serves; /* ... and accepts, where others did */
	unsigned int n;
	struct intercept items[];
};

/* ---- opening ---------------------------------------------------------------------------- */

static int find_cgroup(struct intercept *i, const struct intercept_config *c, char why[256])
{
	bool self = strcmp(c->cgroup, INTERCEPT_SELF) == 0;
	bool pod = strcmp(c->cgroup, INTERCEPT_POD) == 0;
	int err = 0;

	if (self)
		err = cgroup_self_path(i->cgroup, sizeof(i->cgroup));
	else if (pod)
		err = cgroup_pod_path(i->cgroup, sizeof(i->cgroup));
	else if (snprintf(i->cgroup, sizeof(i->cgroup), "%s", c->cgroup) >= (int)sizeof(i->cgroup))
		err = -ENAMETOOLONG;
	else
		err = cgroup_is(i->cgroup);
	if (err) {
		(void)snprintf(why, 256, "finding %s%.150s: %s",
			       self  ? "the daemon's cgroup"
			       : pod ? "the pod's cgroup"
				     : "the cgroup ",
			       self || pod ? "" : c->cgroup, cgroup_strerror(err));
	} else if ((self || pod) && !c->whole_host && cgroup_is_root(i->cgroup)) {
		err = -EPERM;
		(void)snprintf(why, 256,
			       "the %s cgroup is the root, with every program of this host: "
			       "that needs whole_host = yes",
			       self ? "daemon's" : "pod's");
	}
	return err;
}

/* ---- from one worker process to the next ------------------------------------------------ */

/* What has come and was not accepted is known to the next one. */
static void fetch_maps(struct interception *all)
{
	all->maps.flows_fd = link_fetch(all->link, flows_name);
	all->maps.origins_fd = link_fetch(all->link, origins_name);
	all->maps.arrivals_fd = link_fetch(all->link, arrivals_name);
}

static void leave_link(void *arg, int fd)
{
	const struct interception *all = arg;

	if (fd >= 0)
		link_leave(all->link, link_name, fd);
}

/*
 * When this process dies, what was established is still to be found, what is given up is forgotten,
 * and where that is required connects go on to the listener, whose queue waits for the next one.
 */
static void leave(struct interception *all, const struct intercept *i)
{
	if (!all->shared) {
		link_leave(all->link, flows_name, all->maps.flows_fd);
		link_leave(all->link, origins_name, all->maps.origins_fd);
		link_leave(all->link, arrivals_name, all->maps.arrivals_fd);
		leave_link(all, programs_arrivals_link(&i->programs));
	}
	all->shared = true;
	leave_link(all, programs_follow_link(&i->programs));
	if (i->required)
		programs_each_link(&i->programs, leave_link, all);
}

static int open_one(struct interception *all, struct intercept *i, const struct intercept_config *c,
		    char why[256])
{
	struct programs_options o = {.cgroup = i->cgroup,
				     .own = all->shared || !*all->own ? NULL : all->own,
				     .outbound = c->outbound,
				     .n_outbound = (uint32_t)c->n_outbound,
				     .except = c->except,
				     .n_except = (uint32_t)c->n_except,
				     .max_flows = MAX_FLOWS};
	int err = find_cgroup(i, c, why);

	i->required = c->intercept == INTERCEPT_REQUIRE;
	if (!err)
		err = programs_open(&i->programs, &o, &all->maps, why);
	i->open = !err;
	if (err)
		programs_close(&i->programs);
	else
		leave(all, i);
	return err;
}

/* True: the daemon is not to be without. */
static bool tell(const struct config *c, const struct intercept_config *i, const char *why)
{
	bool required = i->intercept == INTERCEPT_REQUIRE;
	char where[CONFIG_WHERE_MAX];

	if (required)
		log_write_all(LOG_LVL_ERROR, "%s: intercept %s: nothing is intercepted: %s",
			      config_where(c, i->where.line, where), i->name, why);
	else
		log_write_all(LOG_LVL_WARNING, "intercept %s: nothing is intercepted: %s", i->name,
			      why);
	return required;
}

int interception_open(const struct config *c, struct link *link, struct interception **ret)
{
	struct interception *all;
	int failed = 0;

	if (!c->n_intercepts)
		return 0;
	all = calloc(1, sizeof(*all) + c->n_intercepts * sizeof(all->items[0]));
	if (!all)
		return log_errno(-ENOMEM, "interception");
	*ret = all;
	all->link = link;
	all->maps = INTERCEPT_NO_MAPS;
	/* That there is one has been tried. Without, all is found as where others have made
	 * sockets. */
	if (cgroup_own_path(all->own, sizeof(all->own)) < 0)
		all->own[0] = '\0';
	fetch_maps(all);
	for (; all->n < c->n_intercepts; all->n++) {
		struct intercept *i = &all->items[all->n];
		const struct intercept_config *ic = &c->intercepts[all->n];
		char why[256] = "out of memory";
		int err = -ENOMEM;

		i->name = strdup(ic->name);
		i->listener = ic->listener;
		if (i->name)
			err = open_one(all, i, ic, why);
		if (err && tell(c, ic, why))
			failed = err;
	}
	return failed;
}

int interception_refuse(const struct config *c, const char *why)
{
	int err = 0;

	for (size_t i = 0; i < c->n_intercepts; i++)
		if (tell(c, &c->intercepts[i], why))
			err = -ENOTSUP;
	return err;
}

static void close_one(struct intercept *i)
{
	if (i->open)
		programs_close(&i->programs);
	free(i->name);
}

void interception_close(struct interception *i)
{
	if (!i)
		return;
	for (unsigned int n = 0; n < i->n; n++)
		close_one(&i->items[n]);
	closep_(&i->maps.flows_fd);
	closep_(&i->maps.origins_fd);
	closep_(&i->maps.arrivals_fd);
	free(i);
}

/* ---- where it leads --------------------------------------------------------------------- */

/* Where the applications of this host reach what is bound there. */
static struct addr reachable(const struct addr *bound, int family)
{
	struct addr a = *bound;

	if (a.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a.in6.sin6_addr)) {
		if (family == AF_INET) {
			a = (struct addr){.len = sizeof(a.in4), .in4.sin_family = AF_INET};
			a.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
			addr_set_port(&a, addr_port(bound));
		} else {
			a.in6.sin6_addr = in6addr_loopback;
		}
	} else if (a.sa.sa_family == AF_INET && a.in4.sin_addr.s_addr == htonl(INADDR_ANY)) {
		a.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	return a;
}

/* The first address of that family that the listener has, which is that binding's; NULL: none. One
 * that is good for a link alone is none: a program cannot say which link. Nor is one of a passed
 * socket, which is not the file's to know (config/intercepts.c). */
static const struct binding *find_address(const struct listener *l, int family, struct addr *ret)
{
	for (size_t i = 0; i < l->config->n_binds; i++) {
		const struct binding *b = l->bindings[i];
		bool both = b->bound.sa.sa_family == AF_INET6 && !b->ipv6_only &&
			    IN6_IS_ADDR_UNSPECIFIED(&b->bound.in6.sin6_addr);

		if (addr_is_passed(&b->wanted) || addr_is_steered(&b->wanted) ||
		    (b->bound.sa.sa_family != family && !(both && family == AF_INET)) ||
		    (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&b->bound.in6.sin6_addr)))
			continue;
		*ret = reachable(&b->bound, family);
		return b;
	}
	return NULL;
}

static const struct listener *find_listener(const struct setup *s, const char *name)
{
	for (size_t i = 0; i < s->n_listeners; i++)
		if (strcmp(s->listeners[i].config->name, name) == 0)
			return &s->listeners[i];
	return NULL;
}

/* What processors are in the midst of has happened then: a connect that a program has redirected
 * has sent its SYN. */
static void settle(void)
{
	static const struct timespec moment = {.tv_nsec = 10 * NSEC_PER_MSEC};

	(void)nanosleep(&moment, NULL); /* signals are blocked */
}

/* Nothing is refused before: the worker process that serves goes by the rules that it has read, and
 * this one may come to nothing. */
static void begin(struct intercept *i)
{
	i->programs.orders->required = i->required;
	i->programs.orders->ready = true;
}

static void put_off(struct intercept *i)
{
	i->programs.orders->required = false;
	atomic_thread_fence(memory_order_seq_cst);
	i->programs.orders->ready = false;
}

static bool may_begin(const struct interception *all, const struct intercept *i)
{
	return all->ready && (all->serves || i->early);
}

static void say_aim(const struct intercept *i, const struct listener *l, const struct addr *ipv4,
		    const struct addr *ipv6)
{
	char text4[ADDR_STR_MAX], text6[ADDR_STR_MAX];

	if (!l)
		log_warn("intercept %s: nothing is intercepted: there is no listener %s any more",
			 i->name, i->listener);
	else if (!i->aimed)
		log_warn("intercept %s: nothing is intercepted: listener %s has no address that a "
			 "connect can be sent to",
			 i->name, i->listener);
	else
		log_info("intercept %s: connects of %s go to listener %s: %s%s%s", i->name,
			 i->cgroup, i->listener, ipv4 ? addr_format(ipv4, text4) : "",
			 ipv4 && ipv6 ? ", " : "", ipv6 ? addr_format(ipv6, text6) : "");
}

/* A reload may have it lead to another listener, or to one that has another name now. */
static void follow(struct intercept *i, const struct config *c)
{
	for (size_t n = 0; n < c->n_intercepts; n++)
		if (strcmp(c->intercepts[n].name, i->name) == 0)
			i->listener = c->intercepts[n].listener;
}

/* Whether it leads elsewhere than before. */
static bool aim_one(struct interception *all, struct intercept *i, const struct setup *s)
{
	const struct listener *l = find_listener(s, i->listener);
	struct addr ipv4, ipv6;
	const struct binding *b4 = l ? find_address(l, AF_INET, &ipv4) : NULL;
	const struct binding *b6 = l ? find_address(l, AF_INET6, &ipv6) : NULL;
	bool moved;

	i->early = (!b4 || claims_allow(&all->maps, b4)) && (!b6 || claims_allow(&all->maps, b6));
	if (!may_begin(all, i))
		put_off(i);
	moved = programs_aim(&i->programs, b4 ? &ipv4 : NULL, b6 ? &ipv6 : NULL);
	if (may_begin(all, i))
		begin(i);
	i->aimed = b4 || b6;
	say_aim(i, l, b4 ? &ipv4 : NULL, b6 ? &ipv6 : NULL);
	return moved;
}

void interception_aim(struct interception *i, const struct setup *s)
{
	bool moved = false;

	if (i && i->serves)
		claims_write(&i->maps, s);
	for (unsigned int n = 0; i && n < i->n; n++) {
		follow(&i->items[n], s->config);
		if (i->items[n].open)
			moved |= aim_one(i, &i->items[n], s);
	}
	if (moved && i->ready)
		settle();
}

static void begin_all(struct interception *i)
{
	for (unsigned int n = 0; n < i->n; n++)
		if (i->items[n].open && may_begin(i, &i->items[n]))
			begin(&i->items[n]);
}

void interception_ready(struct interception *i)
{
	if (!i)
		return;
	i->ready = true;
	begin_all(i);
}

void interception_serve(struct interception *i, const struct setup *s)
{
	if (!i)
		return;
	i->serves = true;
	claims_write(&i->maps, s);
	begin_all(i);
}

void interception_end(struct interception *i)
{
	if (!i || !i->ready)
		return;
	i->ready = false;
	for (unsigned int n = 0; n < i->n; n++)
		if (i->items[n].open)
			i->items[n].programs.orders->ready = false;
	settle();
}

/* orders->ready stays: a program that has not seen `retired` redirects once more, to where this
 * process accepts yet, and refuses nobody. */
void interception_retire(struct interception *i)
{
	bool redirected = i && i->ready;

	for (unsigned int n = 0; i && n < i->n; n++)
		if (i->items[n].open)
			i->items[n].programs.orders->retired = true;
	if (i)
		i->ready = false;
	if (redirected)
		settle();
}

void interception_abandon(struct interception *i)
{
	for (unsigned int n = 0; i && n < i->n; n++) {
		volatile struct intercept_orders *o = i->items[n].programs.orders;

		if (!i->items[n].open)
			continue;
		o->ready = false;
		atomic_thread_fence(memory_order_seq_cst);
		o->retired = false;
	}
}

/* ---- what came here --------------------------------------------------------------------- */

struct addr *interception_original(const struct interception *i, int fd, const struct addr *client)
{
	struct addr original, *ret;

	if (!i || i->maps.flows_fd < 0 || origin_find(&i->maps, fd, client, &original) < 0)
		return NULL;
	ret = malloc(sizeof(*ret));
	if (ret)
		*ret = original;
	return ret;
}

/* ---- reports ---------------------------------------------------------------------------- */

unsigned int interception_count(const struct interception *i)
{
	return i ? i->n : 0;
}

void interception_figures(const struct interception *i, unsigned int n,
			  struct intercept_figures *ret)
{
	const struct intercept *one = &i->items[n];

	*ret = (struct intercept_figures){.name = one->name,
					  .cgroup = one->cgroup,
					  .listener = one->listener,
					  .active = one->open && one->aimed && may_begin(i, one)};
	if (!one->open)
		return;
	ret->redirected = one->programs.counts->redirected;
	ret->unready = one->programs.counts->unready;
	ret->unkept = one->programs.counts->unkept;
	ret->unfound = one->programs.counts->unfound;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/* What only the whole file shows to be wrong with its [intercept NAME] sections. */
#include <string.h>

#include "../cgroup.h"
#include "file.h"
#include "intercept-api.h"
#include "intercepts.h"
#include "text.h"

static const struct listener_config *find_listener(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		if (strcmp(c->listeners[i].name, name) == 0)
			return &c->listeners[i];
	return NULL;
}

static void unknown_listener(struct config_file *f, const struct intercept_config *i)
{
	const struct config *c = f->config;
	struct text all = {0};

	for (size_t n = 0; n < c->n_listeners; n++)
		text_add(&all, "%s%s", n ? ", " : "", c->listeners[n].name);
	if (!c->n_listeners)
		text_add(&all, "a [listener %s] section has to be written", i->listener);
	file_error(f, i->listener_where.line, "listener: there is no [listener %s]; allowed: %s",
		   i->listener, all.s);
}

static bool binds(const struct listener_config *l, int family)
{
	for (size_t i = 0; i < l->n_binds; i++) {
		const struct addr *a = &l->binds[i];

		if (a->sa.sa_family == family ||
		    (family == AF_INET && a->sa.sa_family == AF_INET6 && !l->ipv6_only &&
		     IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr)))
			return true;
	}
	return false;
}

static void check_listener(struct config_file *f, const struct intercept_config *i)
{
	const struct listener_config *l = find_listener(f->config, i->listener);
	bool ipv4, ipv6;

	if (!l) {
		unknown_listener(f, i);
		return;
	}
	ipv4 = binds(l, AF_INET);
	ipv6 = binds(l, AF_INET6);
	if (!ipv4 && !ipv6)
		file_error(f, i->listener_where.line,
			   "listener: %s binds no IP address; allowed: a listener that does",
			   i->listener);
	else if (!ipv4 || !ipv6)
		file_warning(f, i->listener_where.line,
			     "listener: %s binds no address of %s: connects by %s are %s",
			     i->listener, ipv4 ? "IPv6" : "IPv4", ipv4 ? "IPv6" : "IPv4",
			     i->intercept == INTERCEPT_REQUIRE ? "refused (intercept = require)"
							       : "not intercepted");
}

static void check_number(struct config_file *f, const struct intercept_config *i, enum option_id id,
			 size_t n)
{
	if (n > INTERCEPT_RULES)
		file_error(f, i->written[id], "%s: has %zu values; allowed: %d", options[id].key, n,
			   INTERCEPT_RULES);
}

static void check_cgroup(struct config_file *f, const struct intercept_config *i)
{
	int line = i->written[OPTION_ID_INTERCEPT_cgroup], err;

	if (strcmp(i->cgroup, INTERCEPT_SELF) == 0 || strcmp(i->cgroup, INTERCEPT_POD) == 0)
		return;
	err = cgroup_is(i->cgroup);
	if (!i->whole_host && cgroup_is_root(i->cgroup))
		file_error(f, line,
			   "cgroup: %s is the root, with every program of this host; allowed: one "
			   "below it, or whole_host = yes, too",
			   i->cgroup);
	else if (err)
		file_warning(f, line, "cgroup: %s: %s: %s", i->cgroup, cgroup_strerror(err),
			     i->intercept == INTERCEPT_REQUIRE ? "spliced will not start"
							       : "nothing will be intercepted");
}

void check_intercepts(struct config_file *f)
{
	const struct config *c = f->config;

	for (size_t n = 0; n < c->n_intercepts; n++) {
		const struct intercept_config *i = &c->intercepts[n];

		check_number(f, i, OPTION_ID_INTERCEPT_outbound, i->n_outbound);
		check_number(f, i, OPTION_ID_INTERCEPT_except, i->n_except);
		if (i->listener && i->written[OPTION_ID_INTERCEPT_listener] > 0)
			check_listener(f, i);
		if (i->cgroup && i->written[OPTION_ID_INTERCEPT_cgroup] > 0)
			check_cgroup(f, i);
	}
}

void check_kept_intercepts(struct config_file *f)
{
	const struct config *c = f->config;

	for (size_t n = 0; n < c->n_intercepts; n++) {
		const struct intercept_config *i = &c->intercepts[n];
		const struct listener_config *l = find_listener(c, i->listener);

		if (l && (binds(l, AF_INET) || binds(l, AF_INET6)))
			continue;
		file_error(f, i->listener_where.line,
			   "[intercept %s] stays until a restart or an upgrade, and its listener "
			   "%s %s; allowed: this listener, or another one in that section",
			   i->name, i->listener, l ? "binds no IP address" : "is gone");
	}
}

bool config_intercepts_to(const struct config *c, const char *listener)
{
	for (size_t i = 0; i < c->n_intercepts; i++)
		if (strcmp(c->intercepts[i].listener, listener) == 0)
			return true;
	return false;
}

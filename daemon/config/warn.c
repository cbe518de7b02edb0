/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a file says without effect: valid, and hardly meant. */
#include <pwd.h>
#include <string.h>

#include "../cgroup.h"
#include "file.h"
#include "table.h"
#include "text.h"
#include "warn.h"

/* What the listener is, as ONLY_* */
static unsigned int kind_of(const struct listener_config *l)
{
	unsigned int kind = 1u << l->protocol;

	for (size_t i = 0; i < l->n_binds; i++) {
		if (l->binds[i].sa.sa_family == AF_UNIX)
			kind |= ONLY_UNIX;
		if (l->binds[i].sa.sa_family == AF_INET6)
			kind |= ONLY_IPV6;
	}
	return kind;
}

static void add_needed(struct text *t, unsigned int only)
{
	const char *sep = "";

	if (only & ONLY_UNIX)
		text_add(t, "a bind of unix:");
	else if (only & ONLY_IPV6)
		text_add(t, "a bind of an IPv6 address");
	else
		text_add(t, "protocol = ");
	for (int i = 0; i < _PROTOCOL_MAX; i++) {
		if (!(only & 1u << i))
			continue;
		text_add(t, "%s%s", sep, protocol_str[i]);
		sep = " or ";
	}
}

static void check_listener(struct config_file *f, const struct listener_config *l)
{
	unsigned int kind = kind_of(l);
	const struct option *o;

	for (o = option_next(SECTION_LISTENER, NULL); o; o = option_next(SECTION_LISTENER, o)) {
		int line = f->lines[o - options];
		unsigned int only = option_only(o);
		struct text needed = {0};

		if (line <= 0 || !only || (only & kind))
			continue;
		add_needed(&needed, only);
		file_warning(f, line, "%s does nothing in [listener %s]: it needs %s", o->key,
			     l->name, needed.s);
	}
	if (f->lines[OPTION_ID_LISTENER_trusted] > 0 && l->n_trusted &&
	    l->accept_proxy == PROXY_ACCEPT_NO && l->protocol != PROTOCOL_AUTO)
		file_warning(f, f->lines[OPTION_ID_LISTENER_trusted],
			     "trusted does nothing in [listener %s]: it needs accept_proxy, or "
			     "protocol = auto",
			     l->name);
	if (f->lines[OPTION_ID_LISTENER_sniff_timeout] > 0 && l->protocol == PROTOCOL_TCP &&
	    l->accept_proxy == PROXY_ACCEPT_NO)
		file_warning(f, f->lines[OPTION_ID_LISTENER_sniff_timeout],
			     "sniff_timeout does nothing in [listener %s]: protocol = tcp reads "
			     "nothing first",
			     l->name);
	if (f->lines[OPTION_ID_LISTENER_traceparent_sample] > 0 &&
	    l->traceparent == TRACEPARENT_PASS)
		file_warning(
		    f, f->lines[OPTION_ID_LISTENER_traceparent_sample],
		    "traceparent_sample does nothing in [listener %s]: it needs traceparent = "
		    "begin or replace",
		    l->name);
}

#define KIND(check) (1u << HEALTH_CHECK_##check)

/* What checks heed, and for which kind of them that is. */
static void check_health(struct config_file *f, const struct pool_config *p)
{
	static const struct {
		enum option_id id;
		unsigned int kinds;
		const char *needed;
	} heeded[] = {
	    {OPTION_ID_POOL_health_path, KIND(HTTP), "http"},
	    {OPTION_ID_POOL_health_status, KIND(HTTP), "http"},
	    {OPTION_ID_POOL_health_host, KIND(HTTP) | KIND(TLS), "http or tls"},
	    {OPTION_ID_POOL_health_interval, ~KIND(NONE), "tcp, http or tls"},
	    {OPTION_ID_POOL_health_timeout, ~KIND(NONE), "tcp, http or tls"},
	    {OPTION_ID_POOL_health_rise, ~KIND(NONE), "tcp, http or tls"},
	    {OPTION_ID_POOL_health_fall, ~KIND(NONE), "tcp, http or tls"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(heeded); i++) {
		int line = f->lines[heeded[i].id];

		if (line > 0 && !(heeded[i].kinds & 1u << p->health_check))
			file_warning(f, line,
				     "%s does nothing in [pool %s]: it needs health_check = %s",
				     options[heeded[i].id].key, p->name, heeded[i].needed);
	}
}

/* Which listeners will use the pool is not known yet: see warn_of_whole(). */
static void note_pool(struct config_file *f, struct pool_config *p)
{
	static const enum option_id http[] = {
	    OPTION_ID_POOL_keepalive, OPTION_ID_POOL_keepalive_timeout, OPTION_ID_POOL_reuse};

	for (size_t i = 0; i < ARRAY_SIZE(http); i++) {
		if (f->lines[http[i]] <= 0)
			continue;
		p->http_key = options[http[i]].key;
		p->http_where.line = f->lines[http[i]];
		return;
	}
}

void warn_of_section(struct config_file *f, enum section section, void *base)
{
	if (section == SECTION_LISTENER)
		check_listener(f, base);
	if (section != SECTION_POOL)
		return;
	note_pool(f, base);
	check_health(f, base);
}

static bool uses(const struct listener_config *l, size_t pool)
{
	if (l->pool_index == pool)
		return true;
	for (size_t i = 0; i < l->n_routes; i++)
		if (l->routes[i].pool_index == pool)
			return true;
	return false;
}

static void warn_of_pool(struct config_file *f, size_t index)
{
	const struct config *c = f->config;
	const struct pool_config *p = &c->pools[index];
	bool used = false, http = false;

	for (size_t i = 0; i < c->n_listeners; i++) {
		if (!uses(&c->listeners[i], index))
			continue;
		used = true;
		http |= (1u << c->listeners[i].protocol & ONLY_HTTP) != 0;
	}
	if (!used)
		file_warning(f, p->where.line, "[pool %s] is used by no listener and no route",
			     p->name);
	else if (!http && p->http_where.line)
		file_warning(
		    f, p->http_where.line,
		    "%s does nothing in [pool %s]: no listener that uses it has protocol = "
		    "http or auto",
		    p->http_key, p->name);
}

/* Root, and the user it is to become is only the default's name. */
static void warn_of_root(struct config_file *f)
{
	const struct config *c = f->config;

	if (geteuid() != 0 || c->user_where.line || !c->user || !*c->user || getpwnam(c->user))
		return;
	file_warning(f, 0,
		     "user: there is no user \"%s\" (the default): the daemon stays root, without "
		     "capabilities; make the user, or name another",
		     c->user);
}

/* It has no password and no TLS. */
static void warn_of_status(struct config_file *f)
{
	const struct config *c = f->config;
	char text[ADDR_STR_MAX];

	if (c->status.len && !addr_is_loopback(&c->status))
		file_warning(f, c->status_where.line,
			     "status = %s: is not of this host alone: names, addresses and figures "
			     "are told to everybody who can connect there",
			     addr_format(&c->status, text));
}

/* What is to be bypassed, and whose applications' that may be, are in two places. */
static void warn_of_bypass(struct config_file *f)
{
	const struct config *c = f->config;
	int line = f->lines[OPTION_ID_SPLICED_bypass_cgroup], err;
	bool named = c->bypass_cgroup && *c->bypass_cgroup, wanted = false;

	for (size_t i = 0; i < c->n_listeners; i++) {
		const struct listener_config *l = &c->listeners[i];

		wanted |= l->local_bypass != LOCAL_BYPASS_NO;
		if (l->local_bypass && !named)
			file_warning(f, l->where.line,
				     "local_bypass does nothing in [listener %s]: there is no "
				     "bypass_cgroup",
				     l->name);
	}
	if (!named || line <= 0)
		return;
	if (!wanted)
		file_warning(f, line, "bypass_cgroup does nothing: no listener has local_bypass");
	else if ((err = cgroup_is(c->bypass_cgroup)) < 0)
		file_warning(f, line, "bypass_cgroup: %s: %s: there will be no bypass",
			     c->bypass_cgroup, cgroup_strerror(err));
}

void warn_of_whole(struct config_file *f)
{
	const struct config *c = f->config;

	for (size_t i = 0; i < c->n_pools; i++)
		warn_of_pool(f, i);
	warn_of_root(f);
	warn_of_status(f);
	warn_of_bypass(f);
	if (!c->access_log && f->lines[OPTION_ID_SPLICED_access_log_format] > 0)
		file_warning(f, f->lines[OPTION_ID_SPLICED_access_log_format],
			     "access_log_format does nothing: access_log is no");
	if (!c->access_log && f->lines[OPTION_ID_SPLICED_log_empty] > 0)
		file_warning(f, f->lines[OPTION_ID_SPLICED_log_empty],
			     "log_empty does nothing: access_log is no");
}

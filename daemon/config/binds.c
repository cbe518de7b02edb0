/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which addresses cannot be bound beside each other. There may be tens of thousands. */
#include "binds.h"

#include <stdlib.h>
#include <string.h>

#include "file.h"

/* One address of a `bind`, and what a message about it needs. */
struct bound {
	const struct addr *addr;
	const char *listener;
	int line;
	bool ipv6_only;
	const struct bound *first;  /* with the same address; NULL: it is that itself */
	const struct bound *beside; /* the first that it overlaps with; NULL: none */
};

static bool is_any(const struct addr *a)
{
	return a->sa.sa_family == AF_INET ? a->in4.sin_addr.s_addr == htonl(INADDR_ANY)
					  : IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

/* Whether the first stands for every address, the second's among them. */
static bool overlaps(const struct bound *any, const struct bound *one)
{
	const struct addr *a = any->addr, *b = one->addr;

	if (a->sa.sa_family == AF_UNIX || b->sa.sa_family == AF_UNIX || addr_is_passed(a) ||
	    addr_is_passed(b) || addr_port(a) != addr_port(b) || !is_any(a))
		return false;
	if (a->sa.sa_family == b->sa.sa_family)
		return true;
	return a->sa.sa_family == AF_INET6 && !any->ipv6_only;
}

/* The kernel chooses a new port for every port 0; any other address can be bound once. */
static bool is_shared(const struct addr *a)
{
	return a->sa.sa_family != AF_UNIX && !addr_is_passed(a) && addr_port(a) == 0;
}

/* In the order of the file. */
static int by_place(const struct bound *a, const struct bound *b)
{
	return (a > b) - (a < b);
}

static int by_address(const void *a, const void *b)
{
	const struct bound *x = *(struct bound *const *)a, *y = *(struct bound *const *)b;
	int order = addr_order(x->addr, y->addr);

	return order ? order : by_place(x, y);
}

static int by_port(const void *a, const void *b)
{
	const struct bound *x = *(struct bound *const *)a, *y = *(struct bound *const *)b;
	int order = addr_port(x->addr) - addr_port(y->addr);

	return order ? order : by_place(x, y);
}

/* The first ones of a port: whatever is in the way of a later one is the first of some kind. */
enum kind { KIND_IPV4, KIND_ANY_IPV4, KIND_IPV6, KIND_ANY_IPV6, KIND_ANY_BOTH, _KIND_MAX };

static void consider(struct bound *b, const struct bound *other)
{
	if (other && (overlaps(other, b) || overlaps(b, other)) &&
	    (!b->beside || other < b->beside))
		b->beside = other;
}

static void note(const struct bound *first[static _KIND_MAX], const struct bound *b)
{
	bool ipv4 = b->addr->sa.sa_family == AF_INET, any = is_any(b->addr);
	const bool is[_KIND_MAX] = {
	    [KIND_IPV4] = ipv4,
	    [KIND_ANY_IPV4] = ipv4 && any,
	    [KIND_IPV6] = !ipv4,
	    [KIND_ANY_IPV6] = !ipv4 && any,
	    [KIND_ANY_BOTH] = !ipv4 && any && !b->ipv6_only,
	};

	for (int k = 0; k < _KIND_MAX; k++)
		if (is[k] && !first[k])
			first[k] = b;
}

/* Of n addresses with the first one that each of them cannot be bound beside. */
static void find_overlaps(struct bound **all, size_t n)
{
	const struct bound *first[_KIND_MAX] = {0};

	qsort(all, n, sizeof(struct bound *), by_port);
	for (size_t i = 0; i < n; i++) {
		if (i && addr_port(all[i]->addr) != addr_port(all[i - 1]->addr))
			memset(first, 0, sizeof(first));
		if (all[i]->addr->sa.sa_family != AF_INET && all[i]->addr->sa.sa_family != AF_INET6)
			continue;
		for (int k = 0; k < _KIND_MAX; k++)
			consider(all[i], first[k]);
		note(first, all[i]);
	}
}

static void find_equals(struct bound **all, size_t n)
{
	qsort(all, n, sizeof(struct bound *), by_address);
	for (size_t i = 1; i < n; i++) {
		const struct bound *before = all[i - 1];

		if (!addr_equal(all[i]->addr, before->addr))
			continue;
		all[i]->first = before->first ? before->first : before;
	}
}

/* Blames one that an earlier one is in the way of: of several, the first. */
static void check_bound(struct config_file *f, const struct bound *b)
{
	char text[ADDR_STR_MAX], other[ADDR_STR_MAX], ref[FILE_REF_MAX];

	if (b->first && (!b->beside || b->first <= b->beside))
		file_error(f, b->line,
			   "bind: %s is already bound by listener %s %s; allowed: "
			   "each address once",
			   addr_format(b->addr, text), b->first->listener,
			   file_ref(f, b->line, b->first->line, ref));
	else if (b->beside)
		file_error(f, b->line,
			   "bind: %s cannot be bound beside %s of listener %s %s; allowed: "
			   "a port for every address, or for single ones",
			   addr_format(b->addr, text), addr_format(b->beside->addr, other),
			   b->beside->listener, file_ref(f, b->line, b->beside->line, ref));
}

static const char until_restart[] = " until a restart or an upgrade";

/* The control socket is bound like a listener's. */
static void check_control(struct config_file *f, const struct bound *b)
{
	char control[sizeof(b->addr->un.sun_path)] = "";

	if (f->config->control)
		(void)addr_tidy_path(f->config->control, control, sizeof(control));
	if (*control && b->addr->sa.sa_family == AF_UNIX &&
	    strcmp(control, b->addr->un.sun_path) == 0)
		file_error(f, b->line, "bind: %s is the control socket%s; allowed: another path",
			   control, f->kept ? until_restart : "");
}

/* And so is the address of `status`. */
static void check_status(struct config_file *f, const struct bound *b)
{
	const struct config *c = f->config;
	const struct bound status = {.addr = &c->status};
	char text[ADDR_STR_MAX], other[ADDR_STR_MAX], ref[FILE_REF_MAX];

	if (!c->status.len || !addr_port(&c->status) ||
	    (!addr_equal(b->addr, &c->status) && !overlaps(b, &status) && !overlaps(&status, b)))
		return;
	(void)file_ref(f, b->line, c->status_where.line, ref);
	file_error(f, b->line,
		   "bind: %s cannot be bound beside status = %s%s%s; allowed: another port",
		   addr_format(b->addr, text), addr_format(&c->status, other), f->kept ? "" : " ",
		   f->kept ? until_restart : ref);
}

static void fill(struct bound *all, const struct config *c)
{
	for (size_t i = 0; i < c->n_listeners; i++) {
		const struct listener_config *l = &c->listeners[i];

		for (size_t j = 0; j < l->n_binds; j++)
			*all++ = (struct bound){.addr = &l->binds[j],
						.listener = l->name,
						.line = listener_config_bind_place(l, j),
						.ipv6_only = l->ipv6_only};
	}
}

void check_binds(struct config_file *f)
{
	const struct config *c = f->config;
	_cleanup_free_ struct bound *all = NULL;
	_cleanup_free_ struct bound **sorted = NULL;
	size_t n = 0, n_sorted = 0;

	for (size_t i = 0; i < c->n_listeners; i++)
		n += c->listeners[i].n_binds;
	all = calloc(n + 1, sizeof(*all));
	sorted = calloc(n + 1, sizeof(struct bound *));
	if (!all || !sorted) {
		f->no_memory = true;
		return;
	}

	fill(all, c);
	for (size_t i = 0; i < n; i++)
		if (!is_shared(all[i].addr))
			sorted[n_sorted++] = &all[i];
	find_equals(sorted, n_sorted);
	find_overlaps(sorted, n_sorted);
	for (size_t i = 0; i < n; i++) {
		check_control(f, &all[i]);
		check_status(f, &all[i]);
		check_bound(f, &all[i]);
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What only the whole file shows to be wrong. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "../cgroup.h"
#include "binds.h"
#include "check.h"
#include "file.h"
#include "intercepts.h"
#include "matchers.h"
#include "steers.h"
#include "text.h"
#include "units.h"
#include "warn.h"

/* Things with names, in an array of structs whose first field is the name. */
struct named {
	const char *what;
	const void *array;
	size_t n, size;
	size_t where; /* the offset of their struct config_where */
};

/* One of them, in the order of the names. */
struct ranked {
	const char *name;
	size_t at;
};

static const char *name_of(const struct named *all, size_t i)
{
	return *(char *const *)((const char *)all->array + i * all->size);
}

static int line_of(const struct named *all, size_t i)
{
	const char *item = (const char *)all->array + i * all->size;

	return ((const struct config_where *)(item + all->where))->line;
}

static int by_name(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* By their names, of equal ones the first first. NULL: no memory. */
static struct ranked *rank(const struct named *all)
{
	struct ranked *ret = calloc(all->n + 1, sizeof(*ret));

	for (size_t i = 0; ret && i < all->n; i++)
		ret[i] = (struct ranked){name_of(all, i), i};
	if (ret)
		qsort(ret, all->n, sizeof(*ret), by_name);
	return ret;
}

/* Blames every name that an earlier one is equal to. */
static void check_unique(struct config_file *f, const struct named *all)
{
	_cleanup_free_ struct ranked *ranked = rank(all);
	_cleanup_free_ size_t *first = calloc(all->n + 1, sizeof(*first));
	char ref[FILE_REF_MAX];

	f->no_memory |= !ranked || !first;
	if (f->no_memory)
		return;
	for (size_t i = 0; i < all->n; i++) {
		const struct ranked *r = &ranked[i];

		first[r->at] = i && strcmp(r[-1].name, r->name) == 0 ? first[r[-1].at] : r->at;
	}
	for (size_t i = 0; i < all->n; i++)
		if (first[i] != i)
			file_error(f, line_of(all, i),
				   "%s %s is already %s; allowed: each name once", all->what,
				   name_of(all, i),
				   file_ref(f, line_of(all, i), line_of(all, first[i]), ref));
}

static void check_names(struct config_file *f)
{
	const struct config *c = f->config;

	check_unique(f, &(struct named){"listener", c->listeners, c->n_listeners,
					sizeof(*c->listeners),
					offsetof(struct listener_config, where)});
	check_unique(f, &(struct named){"intercept", c->intercepts, c->n_intercepts,
					sizeof(*c->intercepts),
					offsetof(struct intercept_config, where)});
	check_unique(f, &(struct named){"pool", c->pools, c->n_pools, sizeof(*c->pools),
					offsetof(struct pool_config, where)});
	for (size_t i = 0; i < c->n_pools; i++)
		check_unique(f, &(struct named){"server", c->pools[i].servers,
						c->pools[i].n_servers, sizeof(*c->pools[i].servers),
						offsetof(struct server_config, where)});
}

static void unknown_pool(struct config_file *f, const char *key, const char *name, int line)
{
	const struct config *c = f->config;
	struct text pools = {0};

	for (size_t i = 0; i < c->n_pools; i++)
		text_add(&pools, "%s%s", i ? ", " : "", c->pools[i].name);
	if (!c->n_pools)
		text_add(&pools, "a [pool %s] section has to be written", name);
	file_error(f, line, "%s: there is no [pool %s]; allowed: %s", key, name, pools.s);
}

static int compare_name(const void *key, const void *item)
{
	return strcmp(key, ((const struct ranked *)item)->name);
}

static size_t find_pool(const struct config *c, const struct ranked *pools, const char *name)
{
	const struct ranked *r = bsearch(name, pools, c->n_pools, sizeof(*pools), compare_name);

	return r ? r->at : SIZE_MAX;
}

static void check_routes(struct config_file *f, const struct ranked *pools,
			 struct listener_config *l)
{
	for (size_t i = 0; i < l->n_routes; i++) {
		struct route_config *r = &l->routes[i];
		const struct route_match *m = route_unseen(r, l->protocol);

		r->pool_index = find_pool(f->config, pools, r->pool);
		if (r->pool_index == SIZE_MAX)
			unknown_pool(f, "route", r->pool, r->where.line);
		if (m)
			file_error(
			    f, r->where.line,
			    "route: %s: is not seen with protocol = %s; allowed: src, dst and "
			    "dport with any protocol, sni and alpn with tls or auto, the others "
			    "with "
			    "http or auto",
			    match_kind_str[m->kind], protocol_str[l->protocol]);
	}
}

static int compare_routes(const void *a, const void *b)
{
	const struct route_config *x = *(struct route_config *const *)a;
	const struct route_config *y = *(struct route_config *const *)b;
	int order = route_compare(x, y);

	return order ? order : (x > y) - (x < y);
}

/* Blames each route with the matchers of an earlier one. */
static void check_repeated_routes(struct config_file *f, const struct listener_config *l)
{
	_cleanup_free_ const struct route_config **all = calloc(l->n_routes + 1, sizeof(*all));
	char ref[FILE_REF_MAX];

	if (!all) {
		f->no_memory = true;
		return;
	}

	for (size_t i = 0; i < l->n_routes; i++)
		all[i] = &l->routes[i];
	qsort(all, l->n_routes, sizeof(*all), compare_routes);
	for (size_t i = 1; i < l->n_routes; i++)
		if (all[i]->n_matches && route_compare(all[i - 1], all[i]) == 0)
			file_error(f, all[i]->where.line,
				   "route: the one %s has the same matchers, and is taken "
				   "before it; allowed: different matchers in each route",
				   file_ref(f, all[i]->where.line, all[i - 1]->where.line, ref));
}

/* Without matchers a route takes everything. */
static void check_last_route(struct config_file *f, const struct listener_config *l)
{
	char ref[FILE_REF_MAX];

	for (size_t i = 0; i + 1 < l->n_routes; i++) {
		if (l->routes[i].n_matches)
			continue;
		file_error(f, l->routes[i + 1].where.line,
			   "route: the one %s has no matchers, and takes all; allowed: no "
			   "route behind such a one",
			   file_ref(f, l->routes[i + 1].where.line, l->routes[i].where.line, ref));
		return;
	}
}

/* Gives each listener the index of its pool. */
static void check_pools(struct config_file *f)
{
	struct config *c = f->config;
	_cleanup_free_ struct ranked *pools =
	    rank(&(struct named){.array = c->pools, .n = c->n_pools, .size = sizeof(*c->pools)});

	f->no_memory |= !pools;
	for (size_t i = 0; pools && i < c->n_listeners; i++) {
		struct listener_config *l = &c->listeners[i];

		check_routes(f, pools, l);
		check_repeated_routes(f, l);
		check_last_route(f, l);
		if (!l->pool)
			continue;
		l->pool_index = find_pool(c, pools, l->pool);
		if (l->pool_index == SIZE_MAX)
			unknown_pool(f, "pool", l->pool, l->pool_where.line);
	}
}

/* It would be bound as "in use". */
static void check_control_path(struct config_file *f)
{
	const char *control = f->config->control;
	size_t len = control ? strlen(control) : 0;

	if (len && control[len - 1] == '/')
		file_error(f, f->config->control_where.line,
			   "control: %s is a folder; allowed: the path of a socket", control);
}

static void check_order(struct config_file *f, enum option_id low, enum option_id high,
			const char *allowed)
{
	const struct option *o_low = &options[low], *o_high = &options[high];
	uint64_t low_value = *(const uint64_t *)((const char *)f->config + o_low->field);
	uint64_t high_value = *(const uint64_t *)((const char *)f->config + o_high->field);
	char low_text[UNITS_STR_MAX], high_text[UNITS_STR_MAX];

	/* A negative line: that value is wrong by itself, and has been blamed. */
	if (low_value < high_value || f->lines[low] < 0 || f->lines[high] < 0)
		return;

	file_error(f, MAX(f->lines[low], f->lines[high]),
		   "%s (%s) is not less than %s (%s); allowed: %s", o_low->key,
		   units_format_size(low_value, low_text), o_high->key,
		   units_format_size(high_value, high_text), allowed);
}

/* What getpwnam() says of an unknown name differs with the databases it asked. */
static void unknown_name(struct config_file *f, int line, const char *key, const char *what,
			 const char *name, int err)
{
	file_error(f, line, "%s: there is no %s \"%s\"%s%s; allowed: a %s of this system, or empty",
		   key, what, name, err ? ": " : "", err ? strerror(err) : "", what);
}

static void check_user_name(struct config_file *f, const char *key, const char *name, int line)
{
	if (!name || !*name)
		return;
	errno = 0;
	if (!getpwnam(name))
		unknown_name(f, line, key, "user", name, errno);
}

static void check_group_name(struct config_file *f, const char *key, const char *name, int line)
{
	if (!name || !*name)
		return;
	errno = 0;
	if (!getgrnam(name))
		unknown_name(f, line, key, "group", name, errno);
}

/* A default that does not exist is no error: the daemon then keeps the user it has. */
static void check_owners(struct config_file *f)
{
	const struct config *c = f->config;

	if (c->user_where.line && f->lines[OPTION_ID_SPLICED_user] >= 0)
		check_user_name(f, "user", c->user, c->user_where.line);
	for (size_t i = 0; i < c->n_listeners; i++) {
		const struct listener_config *l = &c->listeners[i];

		check_user_name(f, "unix_user", l->unix_user, l->unix_user_where.line);
		check_group_name(f, "unix_group", l->unix_group, l->unix_group_where.line);
	}
}

/* The root of all cgroups holds every program of the host: no slip may choose it. */
static void check_bypass_cgroup(struct config_file *f)
{
	const char *path = f->config->bypass_cgroup;
	int line = f->lines[OPTION_ID_SPLICED_bypass_cgroup];

	if (!path || !*path || line <= 0 || f->lines[OPTION_ID_SPLICED_bypass_trust] > 0 ||
	    !cgroup_is_root(path))
		return;
	file_error(f, line,
		   "bypass_cgroup: %s is the root, with every program of this host; allowed: one "
		   "below it, or bypass_trust is written, too",
		   path);
}

/* Where the file may be missing, it is rather that than what a variable says. */
static void blame_for_no_listener(struct config_file *f)
{
	static const char allowed[] = "allowed: at least one [listener NAME] section";
	const struct config_input *in = f->config->input;

	/* The end of the file; what was read behind it is not to blame. */
	if (!place_source(f->line) && (!in || *f->config->path)) {
		file_error(f, f->line, "no listener; %s", allowed);
		return;
	}
	f->n_errors++;
	if (*f->config->path) {
		fprintf(f->errors, "%s: no listener; %s\n", f->config->path, allowed);
		return;
	}
	fprintf(f->errors, "%s: cannot open: %s; and no listener is set without it; %s\n", in->path,
		strerror(ENOENT), allowed);
}

void check_file(struct config_file *f)
{
	static const char marks[] = "splice_low < splice_high < splice_hard";

	check_names(f);
	check_pools(f);
	warn_of_whole(f);
	check_binds(f);
	check_control_path(f);
	check_steering(f);
	check_order(f, OPTION_ID_SPLICED_splice_low, OPTION_ID_SPLICED_splice_high, marks);
	check_order(f, OPTION_ID_SPLICED_splice_high, OPTION_ID_SPLICED_splice_hard, marks);
	check_order(f, OPTION_ID_SPLICED_bypass_low, OPTION_ID_SPLICED_bypass_high,
		    "bypass_low < bypass_high");
	check_bypass_cgroup(f);
	check_intercepts(f);
	check_owners(f);

	/* A listener whose section was not understood has been blamed. */
	if (!f->config->n_listeners && !f->n_errors)
		blame_for_no_listener(f);
}

void check_kept(struct config_file *f)
{
	check_binds(f);
	check_kept_intercepts(f);
}

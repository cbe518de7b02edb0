/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "section.h"

#include <errno.h>
#include <string.h>

#include "array.h"
#include "file.h"
#include "list.h"
#include "option.h"
#include "text.h"
#include "value.h"
#include "warn.h"

/* ---- beginning -------------------------------------------------------------------------- */

/* Nothing is written in the section yet. */
static bool places_new(struct config_file *f, int **written, int ***items)
{
	f->lines = *written = calloc(_OPTION_ID_MAX, sizeof(**written));
	f->items = *items = calloc(_OPTION_ID_MAX, sizeof(**items));
	return *written && *items;
}

static void *new_listener(struct config_file *f, const char *name)
{
	struct config *c = f->config;
	struct listener_config *l = array_grow(&c->listeners, c->n_listeners, sizeof(*l));

	if (!l)
		return NULL;
	c->n_listeners++;
	l->where.line = f->line;
	l->pool_index = SIZE_MAX;
	l->name = strdup(name);
	return places_new(f, &l->written, &l->items) && l->name ? l : NULL;
}

static void *new_pool(struct config_file *f, const char *name)
{
	struct config *c = f->config;
	struct pool_config *pool = array_grow(&c->pools, c->n_pools, sizeof(*pool));

	if (!pool)
		return NULL;
	c->n_pools++;
	pool->where.line = f->line;
	pool->name = strdup(name);
	return places_new(f, &pool->written, &pool->items) && pool->name ? pool : NULL;
}

static void *new_intercept(struct config_file *f, const char *name)
{
	struct config *c = f->config;
	struct intercept_config *i = array_grow(&c->intercepts, c->n_intercepts, sizeof(*i));

	if (!i)
		return NULL;
	c->n_intercepts++;
	i->where.line = f->line;
	i->name = strdup(name);
	return places_new(f, &i->written, &i->items) && i->name ? i : NULL;
}

void *section_begin(struct config_file *f, enum section section, const char *name)
{
	void *base;

	if (section == SECTION_SPLICED)
		return section_resume(f, section, NULL);
	if (section == SECTION_LISTENER)
		base = new_listener(f, name);
	else
		base = section == SECTION_POOL ? new_pool(f, name) : new_intercept(f, name);
	if (base && value_set_defaults(section, base) == 0)
		return base;
	f->no_memory = true;
	return NULL;
}

/* Notes where the section keeps its places. */
static void *resume(struct config_file *f, void *base, int *written, int **items)
{
	f->lines = written;
	f->items = items;
	return base;
}

void *section_resume(struct config_file *f, enum section section, const char *name)
{
	struct config *c = f->config;

	if (section == SECTION_SPLICED)
		return resume(f, c, c->written, c->items);
	for (size_t i = 0; section == SECTION_LISTENER && i < c->n_listeners; i++) {
		struct listener_config *l = &c->listeners[i];

		if (strcmp(l->name, name) == 0)
			return resume(f, l, l->written, l->items);
	}
	for (size_t i = 0; section == SECTION_POOL && i < c->n_pools; i++) {
		struct pool_config *p = &c->pools[i];

		if (strcmp(p->name, name) == 0)
			return resume(f, p, p->written, p->items);
	}
	for (size_t i = 0; section == SECTION_INTERCEPT && i < c->n_intercepts; i++) {
		struct intercept_config *x = &c->intercepts[i];

		if (strcmp(x->name, name) == 0)
			return resume(f, x, x->written, x->items);
	}
	return NULL;
}

/* ---- options ---------------------------------------------------------------------------- */

void section_unknown_key(struct config_file *f, enum section section, const char *key)
{
	const char *near = option_nearest(section, key), *name = sections[section].name;
	struct text hint = {0}, allowed = {0};

	for (enum section s = SECTION_SPLICED; s < SECTION_SERVER; s++)
		if (!hint.len && option_find(s, key))
			text_add(&hint, ", it belongs in [%s%s]", sections[s].name,
				 sections[s].named ? " NAME" : "");
	if (!hint.len && near)
		text_add(&hint, ", did you mean %s?", near);
	/* inih takes the ':' of an address for a '='. */
	if (!hint.len && strpbrk(key, " \t"))
		text_add(&hint, ", is its = missing?");

	for (const struct option *o = option_next(section, NULL); o; o = option_next(section, o))
		text_add(&allowed, "%s%s", allowed.len ? ", " : "", o->key);

	file_error(f, f->line, "unknown key \"%.80s\" in [%s%s]%s; allowed: %s", key, name,
		   sections[section].named ? " NAME" : "", hint.s, allowed.s);
}

/* Notes where the new values of an option are, for messages of the check. */
static int note_lines(struct config_file *f, const struct option *o, void *base, size_t before)
{
	struct config_where where = {.line = f->line};
	size_t n = option_count(o, base);

	if (o->where)
		memcpy((char *)base + o->where, &where, sizeof(where));

	for (; before < n; before++) {
		if (o->type == OPTION_SERVERS)
			((struct pool_config *)base)->servers[before].where = where;
		if (o->type == OPTION_ROUTES)
			((struct listener_config *)base)->routes[before].where = where;
		if (o->type == OPTION_INCLUDES)
			((struct config *)base)->includes[before].where = where;
		if (!o->count)
			continue;

		int *place = array_grow(&f->items[o - options], before, sizeof(*place));

		if (!place)
			return -ENOMEM;
		*place = where.line;
	}
	return 0;
}

/* What was set by a source of less weight; and of the command line's the last one counts. */
static void give_way(struct config_file *f, const struct option *o, void *base)
{
	int *line = &f->lines[o - options];
	enum config_source_kind now = place_kind(f->config, f->line);

	if (!*line ||
	    (place_kind(f->config, abs(*line)) >= now && (o->count || now != SOURCE_ARGUMENT)))
		return;
	*line = 0;
	if (!o->count)
		return;
	list_clear(o, base);
	free(f->items[o - options]);
	f->items[o - options] = NULL;
}

/* "value # comment": only ; begins a comment within a line. */
static bool has_hash(const char *value)
{
	const char *hash = strchr(value, '#');

	while (hash && hash > value && !strchr(" \t", hash[-1]))
		hash = strchr(hash + 1, '#');
	return hash != NULL;
}

#define HASH_HINT \
	"a comment that starts with # has a line of its own, within a line it starts with ;"

void section_set(struct config_file *f, const struct option *o, void *base, const char *value)
{
	int *line = &f->lines[o - options], r, noted;
	struct text why = {0}, allowed = {0};
	char ref[FILE_REF_MAX];
	size_t before;

	if (place_source(f->line) || place_kind(f->config, f->line) != SOURCE_FILE)
		f->config->mixed = true;
	give_way(f, o, base);
	before = o->count ? option_count(o, base) : 1;
	if (*line && !o->count) {
		file_error(f, f->line, "%s is already %s; allowed: once in a section", o->key,
			   file_ref(f, f->line, abs(*line), ref));
		return;
	}

	r = option_set(o, base, value, &why);
	noted = note_lines(f, o, base, before);
	*line = r < 0 ? -f->line : f->line;

	if (r == -ENOMEM || noted < 0)
		f->no_memory = true;
	if (r == -EINVAL) {
		option_add_allowed(o, &allowed);
		file_error(f, f->line, "%s: %s; allowed: %s%s", o->key, why.s, allowed.s,
			   has_hash(value) ? " (" HASH_HINT ")" : "");
	}
	if (r == 0 && has_hash(value))
		file_warning(f, f->line,
			     "%s: the # and what follows is part of the value: " HASH_HINT, o->key);
}

/* ---- the end ---------------------------------------------------------------------------- */

/* A pool or a route that is wrong has been blamed. */
static void check_served(struct config_file *f, const struct listener_config *l)
{
	if (l->pool || l->n_routes || l->written[OPTION_ID_LISTENER_pool] < 0 ||
	    l->written[OPTION_ID_LISTENER_route] < 0)
		return;
	file_error(f, l->where.line,
		   "[listener %s] has neither pool nor route; needed: pool = POOL, or route = "
		   "MATCHERS -> POOL",
		   l->name);
}

static void check_needed(struct config_file *f, enum section section, const char *name, int where)
{
	for (const struct option *o = option_next(section, NULL); o; o = option_next(section, o)) {
		struct text allowed = {0};

		if (o->def || f->lines[o - options])
			continue;
		option_add_allowed(o, &allowed);
		file_error(f, where, "[%s %s] has no %s; needed: %s = %s", sections[section].name,
			   name, o->key, o->key, allowed.s);
	}
}

void sections_finish(struct config_file *f)
{
	struct config *c = f->config;

	for (size_t i = 0; i < c->n_listeners; i++) {
		struct listener_config *l = &c->listeners[i];

		f->lines = l->written;
		check_needed(f, SECTION_LISTENER, l->name, l->where.line);
		check_served(f, l);
		warn_of_section(f, SECTION_LISTENER, l);
	}
	for (size_t i = 0; i < c->n_pools; i++) {
		struct pool_config *p = &c->pools[i];

		f->lines = p->written;
		check_needed(f, SECTION_POOL, p->name, p->where.line);
		warn_of_section(f, SECTION_POOL, p);
	}
	for (size_t i = 0; i < c->n_intercepts; i++) {
		f->lines = c->intercepts[i].written;
		check_needed(f, SECTION_INTERCEPT, c->intercepts[i].name,
			     c->intercepts[i].where.line);
	}
	f->lines = c->written;
}

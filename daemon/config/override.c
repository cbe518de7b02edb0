/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "override.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "array.h"
#include "file.h"
#include "names.h"
#include "section.h"

#define PREFIX  "SPLICED_"
#define INCLUDE "spliced.include"
#define ALLOWED                                                               \
	"spliced.KEY=VALUE, listener.NAME.KEY=VALUE, pool.NAME.KEY=VALUE or " \
	"intercept.NAME.KEY=VALUE"

/* ---- both ------------------------------------------------------------------------------- */

static void set(struct config_file *f, enum section section, const char *name,
		const struct option *o, const char *value)
{
	void *base = section_resume(f, section, name);

	if (!base)
		base = section_begin(f, section, name);
	_cleanup_free_ char *own = strdup(value);

	f->no_memory |= !own;
	if (base && own && file_is_value(f, o->key, value))
		section_set(f, o, base, file_trim(own));
}

static bool is_include(const struct option *o)
{
	return o == &options[OPTION_ID_SPLICED_include];
}

/* ---- the environment -------------------------------------------------------------------- */

struct variable {
	const char *text, *value;
	size_t len; /* of the variable's name */
	enum section section;
	const struct option *option; /* NULL: it names none */
	const char *name;            /* of the section, in capitals, */
	size_t name_len;
	unsigned long number; /* of a list's value; 0: none was given */
};

/* Whether the end of `text` is the option's key in capitals; where the key begins. */
static bool ends_with_key(const char *text, size_t len, const char *key, size_t *at)
{
	size_t n = strlen(key);

	if (len < n)
		return false;
	*at = len - n;
	for (size_t i = 0; i < n; i++)
		if (text[*at + i] != toupper((unsigned char)key[i]))
			return false;
	return true;
}

/* The length without "_N", and N. */
static size_t cut_number(const char *text, size_t len, unsigned long *number)
{
	size_t at = len;

	while (at > 0 && isdigit((unsigned char)text[at - 1]))
		at--;
	*number = 0;
	if (at == len || at < 2 || text[at - 1] != '_' || len - at > 6)
		return len;
	*number = strtoul(text + at, NULL, 10);
	return at - 1;
}

/* The option whose key the variable ends with; of several the longest. */
static void find_option(struct variable *v, const char *rest, size_t len)
{
	bool named = sections[v->section].named;
	unsigned long number;
	size_t cut = cut_number(rest, len, &number), best = SIZE_MAX;

	for (const struct option *o = option_next(v->section, NULL); o;
	     o = option_next(v->section, o)) {
		size_t at, used = o->count ? cut : len;

		if (!ends_with_key(rest, used, o->key, &at) || at >= best)
			continue;
		if (named ? at < 2 || rest[at - 1] != '_' : at != 0)
			continue;
		best = at;
		v->option = o;
		v->name = rest;
		v->name_len = named ? at - 1 : 0;
		v->number = o->count ? number : 0;
	}
}

/* False: it does not begin as ours do. */
static bool read_variable(const char *text, struct variable *v)
{
	static const struct {
		const char *prefix;
		enum section section;
	} prefixes[] = {{"LISTENER_", SECTION_LISTENER},
			{"POOL_", SECTION_POOL},
			{"INTERCEPT_", SECTION_INTERCEPT},
			{"", SECTION_SPLICED}};
	const char *equals = strchr(text, '='), *rest = text + strlen(PREFIX);
	size_t i = 0;

	if (!equals || strncmp(text, PREFIX, strlen(PREFIX)) != 0 || rest >= equals)
		return false;
	*v = (struct variable){.text = text, .len = (size_t)(equals - text), .value = equals + 1};
	while (strncmp(rest, prefixes[i].prefix, strlen(prefixes[i].prefix)) != 0)
		i++;
	v->section = prefixes[i].section;
	rest += strlen(prefixes[i].prefix);
	find_option(v, rest, (size_t)(equals - rest));
	return true;
}

/* By section, so that each is complete before the next; lists by their numbers. */
static int compare(const void *a, const void *b)
{
	const struct variable *x = a, *y = b;
	size_t len = MIN(x->len, y->len);
	int order;

	if (x->option != y->option || !x->option)
		return (x->option > y->option) - (x->option < y->option);
	order = (int)x->name_len - (int)y->name_len;
	if (!order && x->name_len)
		order = strncmp(x->name, y->name, x->name_len);
	if (order || x->number != y->number)
		return order ? order : (x->number > y->number) - (x->number < y->number);
	return strncmp(x->text, y->text, len);
}

/* Whether the section's name is what the variable says. */
static bool is_named(const char *name, const struct variable *v)
{
	if (strlen(name) != v->name_len)
		return false;
	for (size_t i = 0; i < v->name_len; i++)
		if ((isalnum((unsigned char)name[i]) ? toupper((unsigned char)name[i]) : '_') !=
		    v->name[i])
			return false;
	return true;
}

static const char *nth_name(const struct config *c, enum section section, size_t i)
{
	if (section == SECTION_LISTENER)
		return i < c->n_listeners ? c->listeners[i].name : NULL;
	if (section == SECTION_INTERCEPT)
		return i < c->n_intercepts ? c->intercepts[i].name : NULL;
	return i < c->n_pools ? c->pools[i].name : NULL;
}

/* Writes the section's name. False: it cannot be told, or cannot be one; blamed. */
static bool find_name(struct config_file *f, const struct variable *v, char buf[static 64])
{
	const char *found = NULL, *name;

	for (size_t i = 0; (name = nth_name(f->config, v->section, i)); i++) {
		if (!is_named(name, v))
			continue;
		if (found && strcmp(found, name) != 0) {
			file_error(f, f->line,
				   "%s and %s are both called so; allowed: -o %s.NAME.%s", found,
				   name, sections[v->section].name, v->option->key);
			return false;
		}
		found = name;
	}
	if (found) {
		(void)snprintf(buf, 64, "%s", found);
		return true;
	}
	(void)snprintf(buf, 64, "%.*s", (int)v->name_len, v->name);
	for (char *c = buf; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (v->name_len < 64 && name_is_valid(buf))
		return true;
	file_error(f, f->line, "\"%.*s\" is not a valid name; allowed: " NAME_ALLOWED,
		   (int)MIN(v->name_len, (size_t)80), v->name);
	return false;
}

/* Kubernetes and others put variables of their own there: only what is nearly ours is told. */
static void unknown(struct config_file *f, const struct variable *v)
{
	char key[64];
	const char *near;

	if (v->section != SECTION_SPLICED) {
		file_warning(f, f->line, "names no option of a [%s NAME]",
			     sections[v->section].name);
		return;
	}
	(void)snprintf(key, sizeof(key), "%.*s", (int)(v->len - strlen(PREFIX)),
		       v->text + strlen(PREFIX));
	for (char *c = key; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	near = option_nearest(SECTION_SPLICED, key);
	if (near) {
		file_warning(f, f->line, "names no option, did you mean the one of %s?", near);
		return;
	}
	key[strcspn(key, "_")] = '\0';
	near = section_nearest(key);
	if (near)
		file_warning(f, f->line, "names no option, did you mean one of a [%s NAME]?", near);
}

static void take(struct config_file *f, const struct variable *v)
{
	_cleanup_free_ char *text = strndup(v->text, v->len);
	char name[64] = "";
	int place = text ? source_add_item(f->config, text) : -ENOMEM;

	if (place < 0) {
		f->no_memory = true;
		return;
	}
	f->line = place;
	if (!v->option)
		unknown(f, v);
	else if (!sections[v->section].named || find_name(f, v, name))
		set(f, v->section, name, v->option, v->value);
}

void override_environment(struct config_file *f, bool includes)
{
	_cleanup_free_ struct variable *all = NULL;
	struct variable *v;
	size_t n = 0;

	for (char *const *e = f->environment; e && *e; e++) {
		v = array_grow(&all, n, sizeof(*v));
		if (!v) {
			f->no_memory = true;
			return;
		}
		n += read_variable(*e, v) && is_include(v->option) == includes;
	}
	if (!n)
		return;
	qsort(all, n, sizeof(*all), compare);
	if (source_add(f->config, SOURCE_ENVIRONMENT, "environment") < 0) {
		f->no_memory = true;
		return;
	}
	for (size_t i = 0; i < n; i++)
		take(f, &all[i]);
}

/* ---- the command line ------------------------------------------------------------------- */

/* `name` is SECTION.KEY, and may be changed. */
static void take_setting(struct config_file *f, char *name, const char *value)
{
	enum section section = SECTION_SPLICED;
	char *of = strchr(name, '.'), *key;
	const struct option *o;

	if (of)
		*of++ = '\0';
	while (section < SECTION_SERVER && strcmp(name, sections[section].name) != 0)
		section++;
	key = of && section < SECTION_SERVER && sections[section].named ? strrchr(of, '.') : of;
	if (!of || section == SECTION_SERVER || !key) {
		file_error(f, f->line, "names no section and key; allowed: " ALLOWED);
		return;
	}
	if (key != of)
		*key++ = '\0';
	if (sections[section].named && !name_is_valid(of)) {
		file_error(f, f->line, "\"%.80s\" is not a valid name; allowed: " NAME_ALLOWED, of);
		return;
	}
	o = option_find(section, key);
	if (o)
		set(f, section, of, o, value);
	else
		section_unknown_key(f, section, key);
}

static void override_setting(struct config_file *f, const char *setting)
{
	_cleanup_free_ char *name = strndup(setting, strcspn(setting, "="));
	int place = name ? source_add_item(f->config, name) : -ENOMEM;

	if (place < 0) {
		f->no_memory = true;
		return;
	}
	f->line = place;
	if (setting[strlen(name)] != '=')
		file_error(f, place, "no = and value behind it; allowed: " ALLOWED);
	else
		take_setting(f, name, setting + strlen(name) + 1);
}

void override_settings(struct config_file *f, const char **settings, size_t n, bool includes)
{
	if (n && source_add(f->config, SOURCE_ARGUMENT, "command line") < 0)
		f->no_memory = true;
	for (size_t i = 0; i < n && !f->no_memory; i++)
		if ((strncmp(settings[i], INCLUDE "=", strlen(INCLUDE "=")) == 0) == includes)
			override_setting(f, settings[i]);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is different in another configuration and does not take effect at a reload. */
#include <stdarg.h>
#include <string.h>

#include "option.h"

struct diff {
	FILE *out;
	size_t n;
};

static void name(struct diff *d, const char *fmt, ...) _printf_(2, 3);
static void name(struct diff *d, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (d->n++)
		(void)fputs(", ", d->out);
	(void)vfprintf(d->out, fmt, args);
	va_end(args);
}

/* Every value of an option, as text. The caller owns it; NULL: no memory. */
static char *values_of(const struct option *o, const void *base)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (size_t i = 0; i < option_count(o, base); i++) {
		option_format(o, base, i, f);
		(void)fputc('\n', f);
	}
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

static bool differs(const struct option *o, const void *old, const void *fresh)
{
	_cleanup_free_ char *a = values_of(o, old), *b = values_of(o, fresh);

	return !a || !b || strcmp(a, b) != 0;
}

static void diff_section(struct diff *d, enum section section, const void *old, const void *fresh,
			 const char *of)
{
	const char *word = sections[section].name;

	for (const struct option *o = option_next(section, NULL); o; o = option_next(section, o)) {
		if (o->reload == RELOAD || !differs(o, old, fresh))
			continue;
		if (of)
			name(d, "%s of [%s %s]", o->key, word, of);
		else
			name(d, "%s", o->key);
	}
}

/* Sections with names, in an array of structs whose first field is the name. */
struct named {
	const char *array;
	size_t n, size;
};

static const char *item(const struct named *all, size_t i)
{
	return all->array + i * all->size;
}

static const char *name_of(const char *base)
{
	return *(char *const *)(const void *)base;
}

static const char *find(const struct named *all, const char *wanted)
{
	for (size_t i = 0; i < all->n; i++)
		if (strcmp(name_of(item(all, i)), wanted) == 0)
			return item(all, i);
	return NULL;
}

static void diff_named(struct diff *d, enum section section, const struct named *old,
		       const struct named *fresh)
{
	const char *word = sections[section].name;

	for (size_t i = 0; i < fresh->n; i++) {
		const char *of = name_of(item(fresh, i)), *was = find(old, of);

		if (was)
			diff_section(d, section, was, item(fresh, i), of);
		else
			name(d, "[%s %s], which is new", word, of);
	}
	for (size_t i = 0; i < old->n; i++)
		if (!find(fresh, name_of(item(old, i))))
			name(d, "[%s %s], which is gone", word, name_of(item(old, i)));
}

size_t config_diff(const struct config *old, const struct config *fresh, FILE *out)
{
	struct diff d = {.out = out};
	struct config same = *fresh;

	if (old->engine_forced)
		same.engine = old->engine;
	diff_section(&d, SECTION_SPLICED, old, &same, NULL);
	diff_named(&d, SECTION_LISTENER,
		   &(struct named){(const char *)old->listeners, old->n_listeners,
				   sizeof(*old->listeners)},
		   &(struct named){(const char *)fresh->listeners, fresh->n_listeners,
				   sizeof(*fresh->listeners)});
	diff_named(
	    &d, SECTION_POOL,
	    &(struct named){(const char *)old->pools, old->n_pools, sizeof(*old->pools)},
	    &(struct named){(const char *)fresh->pools, fresh->n_pools, sizeof(*fresh->pools)});
	return d.n;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is different in another configuration and does not take effect at a reload: it is named, and
 * stays as it is. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "file.h"
#include "list.h"
#include "option.h"
#include "value.h"

struct diff {
	FILE *out;
	size_t n;
	int err;
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

static int set_values(const struct option *o, void *base, char *values)
{
	struct text why = {0};
	char *rest = values, *line;
	int err = 0;

	if (!value_is_single(o))
		list_clear(o, base);
	while (!err && *rest && (line = strsep(&rest, "\n")))
		err = option_set(o, base, line, &why);
	return err;
}

/* Whether it is another one in `fresh`; then it becomes the old one there. */
static bool keeps(struct diff *d, const struct option *o, const void *old, void *fresh)
{
	_cleanup_free_ char *a = values_of(o, old), *b = values_of(o, fresh);

	if (!a || !b) {
		d->err = -ENOMEM;
		return false;
	}
	if (strcmp(a, b) == 0)
		return false;
	if (set_values(o, fresh, a) < 0)
		d->err = -ENOMEM;
	return true;
}

static void keep_daemon(struct diff *d, const struct config *old, struct config *fresh)
{
	for (const struct option *o = option_next(SECTION_SPLICED, NULL); o;
	     o = option_next(SECTION_SPLICED, o))
		if (o->reload != RELOAD && keeps(d, o, old, fresh))
			name(d, "%s", o->key);
}

/* Whether it says what it said before, but for what takes effect. */
static bool is_kept(struct diff *d, const struct intercept_config *old,
		    const struct intercept_config *fresh)
{
	bool same = fresh;

	for (const struct option *o = option_next(SECTION_INTERCEPT, NULL); same && o;
	     o = option_next(SECTION_INTERCEPT, o)) {
		_cleanup_free_ char *a = values_of(o, old), *b = values_of(o, fresh);

		if (!a || !b)
			d->err = -ENOMEM;
		same = o->reload == RELOAD || (a && b && strcmp(a, b) == 0);
	}
	return same;
}

static const struct intercept_config *find(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_intercepts; i++)
		if (strcmp(c->intercepts[i].name, name) == 0)
			return &c->intercepts[i];
	return NULL;
}

/* What takes effect is of `fresh`, if the section is there (or else NULL). */
static int copy_intercept(const struct intercept_config *old, const struct intercept_config *fresh,
			  struct intercept_config *to)
{
	int err = value_set_defaults(SECTION_INTERCEPT, to);

	to->name = strdup(old->name);
	to->written = calloc(_OPTION_ID_MAX, sizeof(*to->written));
	if (!err && (!to->name || !to->written))
		err = -ENOMEM;
	if (fresh)
		to->listener_where = fresh->listener_where;
	for (const struct option *o = option_next(SECTION_INTERCEPT, NULL); !err && o;
	     o = option_next(SECTION_INTERCEPT, o)) {
		_cleanup_free_ char *values =
		    values_of(o, fresh && o->reload == RELOAD ? fresh : old);

		err = values ? set_values(o, to, values) : -ENOMEM;
	}
	return err;
}

/* If anything of these sections has changed, they are as they were before; but each leads where the
 * file says. */
static void keep_intercepts(struct diff *d, const struct config *old, struct config *fresh)
{
	struct intercept_config *all;
	size_t n = old->n_intercepts;
	bool same = n == fresh->n_intercepts;

	for (size_t i = 0; same && i < n; i++)
		same = is_kept(d, &old->intercepts[i], find(fresh, old->intercepts[i].name));
	if (same || d->err)
		return;
	name(d, "[intercept NAME]");
	all = calloc(n + 1, sizeof(*all));
	if (!all)
		d->err = -ENOMEM;
	for (size_t i = 0; !d->err && i < n; i++)
		d->err = copy_intercept(&old->intercepts[i], find(fresh, old->intercepts[i].name),
					&all[i]);
	intercepts_replace(fresh, all, n);
}

/* The file is right, and so was what is kept; not so, perhaps, the one beside the other. */
static int check(struct config *c, FILE *errors)
{
	struct config_file f = {
	    .errors = errors, .config = c, .lines = c->written, .items = c->items, .kept = true};

	check_kept(&f);
	if (f.no_memory)
		return -ENOMEM;
	return f.n_errors ? -EINVAL : 0;
}

int config_keep(const struct config *old, struct config *fresh, FILE *out, FILE *errors)
{
	struct diff d = {.out = out};

	fresh->engine_forced = old->engine_forced;
	if (old->engine_forced)
		fresh->engine = old->engine;
	keep_daemon(&d, old, fresh);
	keep_intercepts(&d, old, fresh);
	return d.err ? d.err : check(fresh, errors);
}

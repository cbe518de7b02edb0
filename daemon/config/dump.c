/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration in the file's own syntax. */
#include <string.h>

#include "option.h"

/* So that it is read back as it is: "${" would be the beginning of a variable. */
static void dump_value(const struct option *o, const void *base, size_t i, FILE *out)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (f)
		option_format(o, base, i, f);
	if (!f || fclose(f) != 0)
		return; /* no memory: whoever reads a line without its value sees that */
	for (const char *c = text; *c; c++) {
		if (strncmp(c, "${", 2) == 0)
			fputc('$', out);
		fputc(*c, out);
	}
}

/* Of a file alone nobody asks. */
static void dump_place(const struct config *c, int place, FILE *out)
{
	char where[CONFIG_WHERE_MAX];

	if (c->mixed)
		fprintf(out, "# %s\n", config_where(c, place, where));
}

/*
 * The items of a list get a line each: however many there are, no line becomes too long to read
 * back. Not writing `user` is not the same as writing its default: see the table.
 */
static void dump_option(const struct config *c, const struct option *o, const void *base,
			const int *written, int *const *items, FILE *out)
{
	bool implied = o == &options[OPTION_ID_SPLICED_user] && c->user_where.line == 0;
	/* What included files say is in the dump. */
	size_t n = o->type == OPTION_INCLUDES ? 0 : option_count(o, base);

	for (size_t i = 0; i < n; i++) {
		if (items && items[o - options])
			dump_place(c, items[o - options][i], out);
		else if (written)
			dump_place(c, written[o - options], out);
		fprintf(out, "%s%s = ", implied ? "# " : "", o->key);
		dump_value(o, base, i, out);
		fputc('\n', out);
	}
	if (n == 0)
		fprintf(out, "%s%s =\n", o->def && o->type != OPTION_INCLUDES ? "" : "# ", o->key);
}

static void dump_section(const struct config *c, enum section section, const char *name,
			 const void *base, const int *written, int *const *items, FILE *out)
{
	if (name)
		fprintf(out, "\n[%s %s]\n", sections[section].name, name);
	else
		fprintf(out, "[%s]\n", sections[section].name);

	for (const struct option *o = option_next(section, NULL); o; o = option_next(section, o))
		dump_option(c, o, base, written, items, out);
}

void config_dump(const struct config *c, FILE *out)
{
	dump_section(c, SECTION_SPLICED, NULL, c, c->written, c->items, out);
	for (size_t i = 0; i < c->n_listeners; i++)
		dump_section(c, SECTION_LISTENER, c->listeners[i].name, &c->listeners[i],
			     c->listeners[i].written, c->listeners[i].items, out);
	for (size_t i = 0; i < c->n_pools; i++)
		dump_section(c, SECTION_POOL, c->pools[i].name, &c->pools[i], c->pools[i].written,
			     c->pools[i].items, out);
	for (size_t i = 0; i < c->n_intercepts; i++)
		dump_section(c, SECTION_INTERCEPT, c->intercepts[i].name, &c->intercepts[i],
			     c->intercepts[i].written, c->intercepts[i].items, out);
}

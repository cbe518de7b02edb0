/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration in the file's own syntax. */
#include "option.h"

/*
 * The items of a list get a line each: however many there are, no line becomes too long to read
 * back. Not writing `user` is not the same as writing its default: see the table.
 */
static void dump_option(const struct config *c, const struct option *o, const void *base, FILE *out)
{
	bool implied = o == &options[OPTION_ID_SPLICED_user] && c->user_where.line == 0;
	size_t n = option_count(o, base);

	for (size_t i = 0; i < n; i++) {
		fprintf(out, "%s%s = ", implied ? "# " : "", o->key);
		option_format(o, base, i, out);
		fputc('\n', out);
	}
	if (n == 0)
		fprintf(out, "%s%s =\n", o->def ? "" : "# ", o->key);
}

static void dump_section(const struct config *c, enum section section, const char *name,
			 const void *base, FILE *out)
{
	if (name)
		fprintf(out, "\n[%s %s]\n", sections[section].name, name);
	else
		fprintf(out, "[%s]\n", sections[section].name);

	for (const struct option *o = option_next(section, NULL); o; o = option_next(section, o))
		dump_option(c, o, base, out);
}

void config_dump(const struct config *c, FILE *out)
{
	dump_section(c, SECTION_SPLICED, NULL, c, out);
	for (size_t i = 0; i < c->n_listeners; i++)
		dump_section(c, SECTION_LISTENER, c->listeners[i].name, &c->listeners[i], out);
	for (size_t i = 0; i < c->n_pools; i++)
		dump_section(c, SECTION_POOL, c->pools[i].name, &c->pools[i], out);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "file.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"

/* A file may hold bytes that would steer a terminal, and so may its name. */
static void make_printable(char *text)
{
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
}

void file_error(struct config_file *f, int line, const char *fmt, ...)
{
	char text[2400], where[CONFIG_WHERE_MAX];
	va_list args;

	f->n_errors++;
	if (f->n_errors > FILE_MAX_ERRORS)
		return;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	make_printable(text);
	if (f->kept && !line)
		(void)snprintf(where, sizeof(where), "%s",
			       *f->config->path ? f->config->path : "configuration");
	else
		(void)config_where(f->config, line, where);
	make_printable(where);

	fprintf(f->errors, "%s: %s\n", where, text);
	if (f->n_errors == FILE_MAX_ERRORS)
		fprintf(f->errors, "%s: too many errors; later ones are not shown\n", where);
}

void file_warning(struct config_file *f, int line, const char *fmt, ...)
{
	struct config *c = f->config;
	struct config_warning *w;
	char where[CONFIG_WHERE_MAX];
	va_list args;

	if (c->n_warnings >= FILE_MAX_ERRORS)
		return;
	w = array_grow(&c->warnings, c->n_warnings, sizeof(*w));
	if (!w) {
		f->no_memory = true;
		return;
	}
	va_start(args, fmt);
	if (vasprintf(&w->text, fmt, args) < 0)
		w->text = NULL;
	va_end(args);
	if (line)
		w->where = strdup(config_where(c, line, where));
	else
		w->where = strdup(*c->path ? c->path : "configuration");
	if (!w->text || !w->where) {
		free(w->text);
		free(w->where);
		f->no_memory = true;
		return;
	}
	make_printable(w->text);
	make_printable(w->where);
	w->line = line;
	c->n_warnings++;
}

bool file_is_value(struct config_file *f, const char *key, const char *value)
{
	char before = ' ';

	for (; *value; before = *value++) {
		if ((unsigned char)*value < ' ' && *value != '\t') {
			file_error(f, f->line, "%s: a control byte in the value; allowed: one line",
				   key);
			return false;
		}
		if (*value == ';' && (before == ' ' || before == '\t')) {
			file_error(f, f->line,
				   "%s: a ; at the beginning or behind a space; allowed: values as "
				   "in a file, where it begins a comment",
				   key);
			return false;
		}
	}
	return true;
}

char *file_trim(char *value)
{
	size_t len;

	value += strspn(value, " \t");
	len = strlen(value);
	while (len > 0 && strchr(" \t", value[len - 1]))
		value[--len] = '\0';
	return value;
}

const char *file_ref(const struct config_file *f, int from, int to, char buf[static FILE_REF_MAX])
{
	char where[CONFIG_WHERE_MAX];

	if (place_source(from) == place_source(to) && place_kind(f->config, to) == SOURCE_FILE)
		(void)snprintf(buf, FILE_REF_MAX, "on line %d", place_line(to));
	else
		(void)snprintf(buf, FILE_REF_MAX, "at %s", config_where(f->config, to, where));
	return buf;
}

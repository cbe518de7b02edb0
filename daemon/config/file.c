/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "file.h"

#include <stdarg.h>
#include <stdlib.h>

#include "array.h"

/* A file may hold bytes that would steer a terminal. */
static void make_printable(char *text)
{
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
}

void file_error(struct config_file *f, int line, const char *fmt, ...)
{
	char text[2400];
	va_list args;

	f->n_errors++;
	if (f->n_errors > FILE_MAX_ERRORS)
		return;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	make_printable(text);

	fprintf(f->errors, "%s:%d: %s\n", f->path, line, text);
	if (f->n_errors == FILE_MAX_ERRORS)
		fprintf(f->errors, "%s:%d: too many errors; later ones are not shown\n", f->path,
			line);
}

void file_warning(struct config_file *f, int line, const char *fmt, ...)
{
	struct config *c = f->config;
	struct config_warning *w;
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
	if ((line ? asprintf(&w->where, "%s:%d", f->path, line)
		  : asprintf(&w->where, "%s", f->path)) < 0)
		w->where = NULL;
	if (!w->text || !w->where) {
		free(w->text);
		free(w->where);
		f->no_memory = true;
		return;
	}
	make_printable(w->text);
	w->line = line;
	c->n_warnings++;
}

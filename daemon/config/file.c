/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "file.h"

#include <stdarg.h>

#include "array.h"

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
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';

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
	int n;

	if (c->n_warnings >= FILE_MAX_ERRORS)
		return;
	w = array_grow(&c->warnings, c->n_warnings, sizeof(*w));
	if (!w) {
		f->no_memory = true;
		return;
	}
	va_start(args, fmt);
	n = vasprintf(&w->text, fmt, args);
	va_end(args);
	if (n < 0) {
		w->text = NULL;
		f->no_memory = true;
		return;
	}
	for (char *p = w->text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	w->line = line;
	c->n_warnings++;
}

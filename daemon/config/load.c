/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a file's name to a struct config, and the life of one. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "file.h"
#include "list.h"
#include "matchers.h"
#include "server.h"

static void pool_clear(struct pool_config *p)
{
	for (size_t i = 0; i < p->n_servers; i++)
		server_clear(&p->servers[i]);
	free(p->servers);
	free(p->name);
}

static void listener_clear(struct listener_config *l)
{
	free(l->name);
	free(l->binds);
	free(l->pool);
	free(l->allow);
	free(l->deny);
	free(l->trusted);
	free(l->via);
	free(l->unix_user);
	free(l->unix_group);
	free(l->request_id);
	for (size_t i = 0; i < l->n_routes; i++)
		route_clear(&l->routes[i]);
	free(l->routes);
}

struct config *config_new(void)
{
	_cleanup_config_ struct config *c = calloc(1, sizeof(*c));

	if (!c || option_set_defaults(SECTION_SPLICED, c) < 0)
		return NULL;
	return TAKE_PTR(c);
}

void config_free(struct config *c)
{
	if (!c)
		return;

	for (size_t i = 0; i < c->n_listeners; i++)
		listener_clear(&c->listeners[i]);
	for (size_t i = 0; i < c->n_pools; i++)
		pool_clear(&c->pools[i]);
	for (size_t i = 0; i < c->n_warnings; i++)
		free(c->warnings[i].text);
	free(c->warnings);
	free(c->listeners);
	free(c->pools);
	free(c->nameservers);
	free(c->control);
	free(c->access_log);
	free(c->user);
	free(c->path);
	free(c);
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
	w = list_grow(&c->warnings, c->n_warnings, sizeof(*w));
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

static int by_line(const void *a, const void *b)
{
	return ((const struct config_warning *)a)->line - ((const struct config_warning *)b)->line;
}

static int load(struct config_file *f, FILE *stream)
{
	parse_file(f, stream);
	if (!f->no_memory)
		check_file(f);
	free(f->bind_lines);
	if (f->config->n_warnings)
		qsort(f->config->warnings, f->config->n_warnings, sizeof(*f->config->warnings),
		      by_line);

	if (f->no_memory) {
		fprintf(f->errors, "%s:%d: %s\n", f->path, f->line, strerror(ENOMEM));
		return -ENOMEM;
	}
	return f->n_errors ? -EINVAL : 0;
}

int config_load_stream(const char *path, FILE *stream, struct config **ret, FILE *errors)
{
	_cleanup_config_ struct config *c = config_new();
	struct config_file f = {.path = path, .errors = errors, .config = c};
	int r;

	if (c)
		c->path = strdup(path);
	if (!c || !c->path) {
		fprintf(errors, "%s: %s\n", path, strerror(ENOMEM));
		return -ENOMEM;
	}

	r = load(&f, stream);
	if (r == 0)
		*ret = TAKE_PTR(c);
	return r;
}

int config_load(const char *path, struct config **ret, FILE *errors)
{
	FILE *stream = fopen(path, "re");
	int r;

	if (!stream) {
		r = -errno;
		fprintf(errors, "%s: cannot open: %s\n", path, strerror(-r));
		return r;
	}

	r = config_load_stream(path, stream, ret, errors);
	(void)fclose(stream);
	return r;
}

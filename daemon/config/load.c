/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a file's name to a struct config, and the life of one. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "file.h"
#include "matchers.h"
#include "parse.h"
#include "server.h"
#include "value.h"

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

	if (!c || value_set_defaults(SECTION_SPLICED, c) < 0)
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
	for (size_t i = 0; i < c->n_warnings; i++) {
		free(c->warnings[i].where);
		free(c->warnings[i].text);
	}
	free(c->warnings);
	free(c->listeners);
	free(c->pools);
	free(c->nameservers);
	free(c->control);
	free(c->access_log);
	free(c->user);
	free(c->bypass_cgroup);
	free(c->path);
	free(c);
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

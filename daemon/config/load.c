/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a file's name to a struct config, and the life of one. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "file.h"
#include "include.h"
#include "matchers.h"
#include "override.h"
#include "parse.h"
#include "section.h"
#include "server.h"
#include "value.h"

static void places_clear(int *written, int **items)
{
	for (size_t i = 0; items && i < _OPTION_ID_MAX; i++)
		free(items[i]);
	free(items);
	free(written);
}

static void pool_clear(struct pool_config *p)
{
	for (size_t i = 0; i < p->n_servers; i++)
		server_clear(&p->servers[i]);
	free(p->servers);
	free(p->health_path);
	free(p->health_host);
	free(p->name);
	places_clear(p->written, p->items);
}

static void listener_clear(struct listener_config *l)
{
	free(l->name);
	places_clear(l->written, l->items);
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

static void intercept_clear(struct intercept_config *i)
{
	free(i->name);
	places_clear(i->written, i->items);
	free(i->cgroup);
	free(i->outbound);
	free(i->except);
	free(i->listener);
}

void intercepts_replace(struct config *c, struct intercept_config *all, size_t n)
{
	for (size_t i = 0; i < c->n_intercepts; i++)
		intercept_clear(&c->intercepts[i]);
	free(c->intercepts);
	c->intercepts = all;
	c->n_intercepts = all ? n : 0;
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
	intercepts_replace(c, NULL, 0);
	for (size_t i = 0; i < c->n_warnings; i++) {
		free(c->warnings[i].where);
		free(c->warnings[i].text);
	}
	free(c->warnings);
	for (size_t i = 0; i < c->n_includes; i++)
		free(c->includes[i].pattern);
	free(c->includes);
	sources_free(c);
	places_clear(c->written, c->items);
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

/* Of a new configuration: what is read first. */
static struct config *new_of(const char *path, FILE *errors)
{
	_cleanup_config_ struct config *c = config_new();

	if (c) {
		c->path = strdup(path);
		c->written = calloc(_OPTION_ID_MAX, sizeof(*c->written));
		c->items = calloc(_OPTION_ID_MAX, sizeof(*c->items));
	}
	if (c && c->path && c->written && c->items &&
	    (!*path || source_add(c, SOURCE_FILE, path) == 0))
		return TAKE_PTR(c);
	fprintf(errors, "%s: %s\n", path, strerror(ENOMEM));
	return NULL;
}

/* When everything was read. Takes the configuration: it is *ret's, or gone. */
static int finish(struct config_file *f, struct config **ret)
{
	_cleanup_config_ struct config *c = f->config;

	if (!f->no_memory)
		sections_finish(f);
	if (!f->no_memory)
		check_file(f);
	if (c->n_warnings)
		qsort(c->warnings, c->n_warnings, sizeof(*c->warnings), by_line);

	if (f->no_memory) {
		file_error(f, f->line, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	if (f->n_errors)
		return -EINVAL;
	*ret = TAKE_PTR(c);
	return 0;
}

int config_load_stream(const char *path, FILE *stream, struct config **ret, FILE *errors)
{
	struct config_file f = {.errors = errors, .config = new_of(path, errors)};

	if (!f.config)
		return -ENOMEM;
	f.lines = f.config->written;
	f.items = f.config->items;
	parse_file(&f, stream);
	return finish(&f, ret);
}

/* Opening it does not wait, nor does reading it, in a daemon that serves: it would, for who writes
 * into a pipe. The stream, or NULL with *err. */
static FILE *open_file(const struct config_input *in, int *err)
{
	int fd = open(in->path, O_RDONLY | O_CLOEXEC | (in->once ? 0 : O_NONBLOCK));
	FILE *stream = NULL;
	struct stat st;

	*err = 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		*err = errno;
	else if (!in->once && !S_ISREG(st.st_mode))
		*err = S_ISDIR(st.st_mode) ? EISDIR : ENOTBLK;
	else if (!(stream = fdopen(fd, "r")))
		*err = errno;
	if (fd >= 0 && !stream)
		(void)close(fd);
	return stream;
}

static const char *open_problem(int err)
{
	return err == ENOTBLK ? "not a regular file: it is read again with each reload"
			      : strerror(err);
}

int config_load(const struct config_input *in, struct config **ret, FILE *errors)
{
	int err;
	FILE *stream = open_file(in, &err);
	struct config_file f = {.errors = errors, .environment = in->environment};

	if (!err || (err == ENOENT && in->optional))
		f.config = new_of(stream ? in->path : "", errors);
	if (!f.config) {
		if (err)
			fprintf(errors, "%s: cannot open: %s\n", in->path, open_problem(err));
		if (stream)
			(void)fclose(stream);
		return err ? -err : -ENOMEM;
	}

	f.config->input = in;
	f.lines = f.config->written;
	f.items = f.config->items;
	if (stream) {
		parse_file(&f, stream);
		(void)fclose(stream);
	}
	/* Files first, wherever they are named: the rest weighs more than what they say. */
	override_environment(&f, true);
	override_settings(&f, in->settings, in->n_settings, true);
	include_files(&f);
	override_environment(&f, false);
	override_settings(&f, in->settings, in->n_settings, false);
	if (!stream && !f.config->mixed) {
		fprintf(errors, "%s: cannot open: %s\n", in->path, open_problem(err));
		config_free(f.config);
		return -err;
	}
	return finish(&f, ret);
}

const char *config_optional_file(const struct config *c)
{
	return c->input && c->input->optional ? c->path : "";
}

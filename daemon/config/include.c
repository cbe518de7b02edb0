/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "include.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "parse.h"

/* Beside the file that names it. */
static int resolve(const struct config *c, const struct include_config *i, char path[PATH_MAX])
{
	const char *from = c->sources[place_source(i->where.line)].name;
	const char *slash = strrchr(from, '/');
	int n;

	if (i->pattern[0] == '/' || !slash)
		n = snprintf(path, PATH_MAX, "%s", i->pattern);
	else
		n = snprintf(path, PATH_MAX, "%.*s/%s", (int)(slash - from), from, i->pattern);
	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static bool is_read_already(const struct config *c, const struct stat *st)
{
	struct stat other;

	for (size_t i = 0; i < c->n_sources; i++)
		if (c->sources[i].kind == SOURCE_FILE && stat(c->sources[i].name, &other) == 0 &&
		    other.st_dev == st->st_dev && other.st_ino == st->st_ino)
			return true;
	return false;
}

static void read_file(struct config_file *f, int place, const char *path)
{
	/* Whatever it is, opening it does not wait. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), start;
	FILE *stream = fd < 0 ? NULL : fdopen(fd, "r");
	struct stat st;

	if (!stream || fstat(fd, &st) < 0) {
		file_error(f, place, "include: %s: cannot open: %s", path, strerror(errno));
		if (fd >= 0 && !stream)
			(void)close(fd);
	} else if (!S_ISREG(st.st_mode)) {
		file_error(f, place, "include: %s: not a regular file; allowed: files", path);
	} else if (is_read_already(f->config, &st)) {
		file_error(f, place, "include: %s is read already; allowed: each file once", path);
	} else if ((start = source_add(f->config, SOURCE_FILE, path)) < 0) {
		f->no_memory |= start == -ENOMEM;
		if (start != -ENOMEM)
			file_error(f, place, "include: %s: too many files; allowed: %d", path,
				   SOURCES_MAX);
	} else {
		f->line = start;
		parse_file(f, stream);
	}
	if (stream)
		(void)fclose(stream);
}

/* What glob() ended for; it takes no argument of ours along. */
static _Thread_local int glob_errno;

static int on_glob_error(const char *path _unused_, int err)
{
	if (err == ENOENT || err == ENOTDIR)
		return 0;
	glob_errno = err;
	return 1;
}

static void read_pattern(struct config_file *f, const struct include_config *i)
{
	char path[PATH_MAX];
	glob_t found = {0};
	int place = i->where.line, r = resolve(f->config, i, path);

	if (r == 0)
		r = glob(path, 0, on_glob_error, &found);
	else
		file_error(f, place, "include: %s: %s", i->pattern, strerror(-r));
	if (r == GLOB_NOMATCH && !strpbrk(path, "*?["))
		file_error(f, place, "include: %s: cannot open: %s", path, strerror(ENOENT));
	if (r == GLOB_ABORTED)
		file_error(f, place, "include: %s: cannot be searched: %s", path,
			   strerror(glob_errno));
	if (r == GLOB_NOSPACE)
		f->no_memory = true;
	for (size_t n = 0; r == 0 && n < found.gl_pathc && !f->no_memory; n++)
		read_file(f, place, found.gl_pathv[n]);
	globfree(&found);
}

void include_files(struct config_file *f)
{
	/* What they include stands behind: the list grows meanwhile, and may move. */
	for (size_t i = 0; i < f->config->n_includes && !f->no_memory; i++) {
		struct include_config one = f->config->includes[i];

		read_pattern(f, &one);
	}
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "standings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "daemon.h"
#include "health/checks.h"
#include "log.h"
#include "parent/link.h"
#include "setup.h"
#include "slate.h"
#include "upstream/pool.h"
#include "upstream/standing.h"

/* With the version of the text. */
static const char deposit[] = "servers 1";
/* Of one that is the same; what is new of a server is a word more there, and later lines of another
 * kind are left out by who does not know them. */
static const char kind[] = "server";

struct standings {
	int fd;
};

/* One server, of a text. */
struct entry {
	const char *pool, *name, *text;
	enum server_mode mode;
	unsigned int weight, in_file; /* what an operator wants; what the file said */
};

/* ---- writing ---------------------------------------------------------------------------- */

static bool is_as_in_the_file(const struct server *s)
{
	return s->mode == MODE_READY && s->weight == s->config.weight;
}

static int write_servers(const struct setup *s, FILE *f)
{
	if (fprintf(f, "spliced\n") < 0)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_pools; i++)
		for (size_t j = 0; j < s->pools[i]->n_servers; j++) {
			const struct server *server = s->pools[i]->servers[j];

			if (!is_as_in_the_file(server) &&
			    fprintf(f, "%s %s %s %s %u %u %s\n", kind, server->pool_name,
				    server->name, server_mode_str[server->mode], server->weight,
				    server->config.weight, server->text) < 0)
				return -ENOMEM;
		}
	return 0;
}

static int write_to(int fd, const struct setup *s)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	int err;

	if (!f)
		return -ENOMEM;
	err = write_servers(s, f);
	if (fclose(f) != 0)
		err = -ENOMEM;
	return err ? err : slate_write(fd, text, size);
}

void standings_write(struct daemon *d)
{
	int err = d->standings ? write_to(d->standings->fd, d->setup) : 0;

	if (err)
		(void)log_errno(err, "keeping what operators want of servers; the worker after "
				     "this one will not know of the last change");
}

void standings_leave(struct daemon *d)
{
	struct standings *all = d->link ? malloc(sizeof(*all)) : NULL;
	int err = -ENOMEM;

	if (!d->link)
		return;
	if (all) {
		all->fd = slate_new();
		err = all->fd < 0 ? all->fd : write_to(all->fd, d->setup);
	}
	d->standings = all;
	if (!err) {
		link_leave(d->link, deposit, all->fd);
		return;
	}
	standings_close(d);
	(void)log_errno(err, "keeping what operators want of servers; the worker after this one "
			     "will not know of it");
}

void standings_close(struct daemon *d)
{
	if (d->standings && d->standings->fd >= 0)
		(void)close(d->standings->fd);
	free(d->standings);
	d->standings = NULL;
}

/* ---- taking ----------------------------------------------------------------------------- */

static int compare(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;
	int order = strcmp(a->pool, b->pool);

	if (!order)
		order = strcmp(a->name, b->name);
	return order ? order : strcmp(a->text, b->text);
}

static bool parse_mode(const char *word, enum server_mode *ret)
{
	for (int i = 0; i < _SERVER_MODE_MAX; i++)
		if (strcmp(word, server_mode_str[i]) == 0) {
			*ret = (enum server_mode)i;
			return true;
		}
	return false;
}

/* The next word of a line; "": there is none. */
static const char *next_word(char **rest)
{
	const char *word = strsep(rest, " ");

	return word ? word : "";
}

static bool parse_line(char *line, struct entry *ret)
{
	const char *mode, *weight, *in_file;

	if (strcmp(next_word(&line), kind) != 0)
		return false;
	ret->pool = next_word(&line);
	ret->name = next_word(&line);
	mode = next_word(&line);
	weight = next_word(&line);
	in_file = next_word(&line);
	ret->text = line ? line : "";
	ret->weight = (unsigned int)strtoul(weight, NULL, 10);
	ret->in_file = (unsigned int)strtoul(in_file, NULL, 10);
	return ret->weight && ret->weight <= WEIGHT_MAX && ret->in_file &&
	       parse_mode(mode, &ret->mode);
}

/* Those of the text, sorted, the caller's to free; they point into it. NULL: out of memory. */
static struct entry *parse(char *text, size_t *n)
{
	struct entry *entries;
	size_t lines = 1;
	char *line;

	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	entries = calloc(lines, sizeof(*entries));
	*n = 0;
	while (entries && (line = strsep(&text, "\n")))
		*n += parse_line(line, &entries[*n]);
	if (entries)
		qsort(entries, *n, sizeof(*entries), compare);
	return entries;
}

static void apply(struct server *s, const struct entry *e, uint64_t now)
{
	enum server_mode was = s->mode;

	/* A weight of the file that is new counts, as at a reload. */
	server_set_weight(s, e && e->in_file == s->config.weight ? e->weight : s->config.weight);
	(void)server_set_mode(s, e ? e->mode : MODE_READY, now); /* nothing is kept to it yet */
	if (s->mode != was)
		checks_look(s);
}

static int take(const struct setup *s, char *text)
{
	uint64_t now = now_ns();
	size_t n;
	_cleanup_free_ struct entry *entries = parse(text, &n);

	if (!entries)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_pools; i++)
		for (size_t j = 0; j < s->pools[i]->n_servers; j++) {
			struct server *server = s->pools[i]->servers[j];
			const struct entry wanted = {
			    .pool = server->pool_name, .name = server->name, .text = server->text};

			apply(server,
			      n ? bsearch(&wanted, entries, n, sizeof(*entries), compare) : NULL,
			      now);
		}
	return 0;
}

void standings_take(struct daemon *d)
{
	_cleanup_close_ int fd = link_fetch(d->link, deposit);
	_cleanup_free_ char *text = NULL;
	int err;

	if (fd < 0)
		return;
	err = slate_read(fd, &text);
	if (!err)
		err = take(d->setup, text);
	if (err)
		(void)log_errno(err, "taking over what operators want of servers");
}

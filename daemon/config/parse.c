/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file's syntax. inih takes a line apart into key, value and comment; the reader it is given
 * here does the rest, because inih (as Debian builds it) tells its caller no line numbers, cuts
 * section names after 49 bytes and long lines anywhere, is silent about a section without keys,
 * reports only the first line it cannot read, and takes an indented line for more of the last
 * value.
 */
#include <errno.h>
#include <ini.h>
#include <string.h>

#include "array.h"
#include "file.h"
#include "names.h"
#include "option.h"
#include "parse.h"
#include "table.h"
#include "text.h"
#include "value.h"
#include "warn.h"

#define LINE_BYTES 4096
#define FILE_BYTES (16u << 20)
#define BOM        "\xef\xbb\xbf"
#define SECTIONS   "[spliced], [listener NAME] or [pool NAME]"

struct parser {
	struct config_file *f;
	FILE *stream;
	size_t bytes;
	int read_error;
	bool key_expected;              /* inih was given a line that it must find a key in */
	bool skip;                      /* the section is wrong: its keys mean nothing */
	enum section section;           /* _SECTION_MAX before the first one */
	int section_line, spliced_line; /* of this one; of the first [spliced] */
	void *base;                     /* the section's struct */
};

/* ---- sections --------------------------------------------------------------------------- */

static void add_header(struct parser *p, struct text *t)
{
	const struct section_info *info = &sections[p->section];

	if (info->named)
		text_add(t, "[%s %s]", info->name, *(char **)p->base);
	else
		text_add(t, "[%s]", info->name);
}

/* A pool or a route that is wrong has been blamed. */
static void check_served(struct parser *p)
{
	const struct listener_config *l = p->base;
	const int *lines = p->f->lines;

	if (l->pool || l->n_routes || lines[OPTION_ID_LISTENER_pool] < 0 ||
	    lines[OPTION_ID_LISTENER_route] < 0)
		return;
	file_error(p->f, p->section_line,
		   "[listener %s] has neither pool nor route; needed: pool = POOL, or route = "
		   "MATCHERS -> POOL",
		   l->name);
}

/* What a section must have is known to be missing only where it ends. */
static void end_section(struct parser *p)
{
	if (p->skip || p->section == _SECTION_MAX)
		return;

	for (const struct option *o = option_next(p->section, NULL); o;
	     o = option_next(p->section, o)) {
		struct text header = {0}, allowed = {0};

		if (o->def || p->f->lines[o - options])
			continue;
		add_header(p, &header);
		option_add_allowed(o, &allowed);
		file_error(p->f, p->section_line, "%s has no %s; needed: %s = %s", header.s, o->key,
			   o->key, allowed.s);
	}
	if (p->section == SECTION_LISTENER)
		check_served(p);
	warn_of_section(p->f, p->section, p->base);
}

static void *new_listener(struct parser *p, const char *name)
{
	struct config *c = p->f->config;
	struct listener_config *l = array_grow(&c->listeners, c->n_listeners, sizeof(*l));

	if (!l)
		return NULL;
	c->n_listeners++;
	l->where.line = p->section_line;
	l->pool_index = SIZE_MAX;
	l->name = strdup(name);
	return l->name ? l : NULL;
}

static void *new_pool(struct parser *p, const char *name)
{
	struct config *c = p->f->config;
	struct pool_config *pool = array_grow(&c->pools, c->n_pools, sizeof(*pool));

	if (!pool)
		return NULL;
	c->n_pools++;
	pool->where.line = p->section_line;
	pool->name = strdup(name);
	return pool->name ? pool : NULL;
}

/* A section of a name that exists is read like any other, so that its errors are found too. */
static void begin_section(struct parser *p, enum section section, const char *name)
{
	p->section = section;
	p->section_line = p->f->line;
	p->skip = false;

	switch (section) {
	case SECTION_LISTENER:
		p->base = new_listener(p, name);
		break;
	case SECTION_POOL:
		p->base = new_pool(p, name);
		break;
	default:
		p->base = p->f->config;
		return; /* there is one [spliced]: what it has set stays set */
	}

	for (const struct option *o = option_next(section, NULL); o; o = option_next(section, o))
		p->f->lines[o - options] = 0;
	if (!p->base || value_set_defaults(section, p->base) < 0) {
		p->f->no_memory = true;
		p->skip = true;
	}
}

/* `word` and `name` are what stands between the brackets. */
static void enter_section(struct parser *p, const char *word, const char *name)
{
	struct config_file *f = p->f;
	enum section section = SECTION_SPLICED;

	while (section < SECTION_SERVER && strcmp(word, sections[section].name) != 0)
		section++;

	if (section == SECTION_SERVER) {
		file_error(f, f->line, "unknown section [%s%s%s]; allowed: " SECTIONS, word,
			   *name ? " " : "", name);
		return;
	}
	if (sections[section].named && !*name) {
		file_error(f, f->line, "[%s] has no name; allowed: [%s NAME]", word, word);
		return;
	}
	if (!sections[section].named && *name) {
		file_error(f, f->line, "[%s] takes no name; allowed: [%s]", word, word);
		return;
	}
	if (sections[section].named && !name_is_valid(name)) {
		file_error(f, f->line, "\"%s\" is not a valid name; allowed: " NAME_ALLOWED, name);
		return;
	}

	if (section == SECTION_SPLICED && p->spliced_line)
		file_error(f, f->line, "[spliced] is already on line %d; allowed: one section",
			   p->spliced_line);
	else if (section == SECTION_SPLICED)
		p->spliced_line = f->line;
	begin_section(p, section, name);
}

/* A line that starts with '['. It may be changed. */
static void section_line(struct parser *p, char *line)
{
	char *word = line + 1, *name, *end = strchr(line, ']'), *rest;

	end_section(p);
	p->skip = true;

	if (!end) {
		file_error(p->f, p->f->line, "section without a closing ]; allowed: " SECTIONS);
		return;
	}
	*end = '\0';
	rest = end + 1 + strspn(end + 1, " \t\r\n");
	if (*rest && *rest != ';' && *rest != '#') {
		file_error(p->f, p->f->line,
			   "text after the section's ]; allowed: a comment that starts with ;");
		return;
	}

	word += strspn(word, " \t");
	while (end > word && strchr(" \t", end[-1]))
		*--end = '\0';
	name = word + strcspn(word, " \t");
	if (*name)
		*name++ = '\0';
	name += strspn(name, " \t");
	enter_section(p, word, name);
}

/* ---- keys ------------------------------------------------------------------------------- */

static void unknown_key(struct parser *p, const char *key)
{
	const char *near = option_nearest(p->section, key), *section = sections[p->section].name;
	struct text hint = {0}, allowed = {0};

	for (enum section s = SECTION_SPLICED; s < SECTION_SERVER; s++)
		if (!hint.len && option_find(s, key))
			text_add(&hint, ", it belongs in [%s%s]", sections[s].name,
				 sections[s].named ? " NAME" : "");
	if (!hint.len && near)
		text_add(&hint, ", did you mean %s?", near);
	/* inih takes the ':' of an address for a '='. */
	if (!hint.len && strpbrk(key, " \t"))
		text_add(&hint, ", is its = missing?");

	for (const struct option *o = option_next(p->section, NULL); o;
	     o = option_next(p->section, o))
		text_add(&allowed, "%s%s", allowed.len ? ", " : "", o->key);

	file_error(p->f, p->f->line, "unknown key \"%.80s\" in [%s%s]%s; allowed: %s", key, section,
		   sections[p->section].named ? " NAME" : "", hint.s, allowed.s);
}

/* Notes where the new values of an option are, for messages of the check. */
static int note_lines(struct parser *p, const struct option *o, size_t before)
{
	struct config_where where = {.line = p->f->line};
	size_t n = option_count(o, p->base);

	if (o->where)
		memcpy((char *)p->base + o->where, &where, sizeof(where));

	for (; before < n; before++) {
		if (o->type == OPTION_SERVERS)
			((struct pool_config *)p->base)->servers[before].where = where;
		if (o->type == OPTION_ROUTES)
			((struct listener_config *)p->base)->routes[before].where = where;
		if (o->type != OPTION_BINDS)
			continue;

		int *line = array_grow(&p->f->bind_lines, p->f->n_bind_lines, sizeof(*line));

		if (!line)
			return -ENOMEM;
		*line = where.line;
		p->f->n_bind_lines++;
	}
	return 0;
}

/* "value # comment": only ; begins a comment within a line. */
static bool has_hash(const char *value)
{
	const char *hash = strchr(value, '#');

	while (hash && hash > value && !strchr(" \t", hash[-1]))
		hash = strchr(hash + 1, '#');
	return hash != NULL;
}

#define HASH_HINT \
	"a comment that starts with # has a line of its own, within a line it starts with ;"

static void set_option(struct parser *p, const struct option *o, const char *value)
{
	int *line = &p->f->lines[o - options], r, noted;
	struct text why = {0}, allowed = {0};
	size_t before = o->count ? option_count(o, p->base) : 1;

	if (*line && !o->count) {
		file_error(p->f, p->f->line, "%s is already on line %d; allowed: once in a section",
			   o->key, abs(*line));
		return;
	}

	r = option_set(o, p->base, value, &why);
	noted = note_lines(p, o, before);
	*line = r < 0 ? -p->f->line : p->f->line;

	if (r == -ENOMEM || noted < 0)
		p->f->no_memory = true;
	if (r == -EINVAL) {
		option_add_allowed(o, &allowed);
		file_error(p->f, p->f->line, "%s: %s; allowed: %s%s", o->key, why.s, allowed.s,
			   has_hash(value) ? " (" HASH_HINT ")" : "");
	}
	if (r == 0 && has_hash(value))
		file_warning(p->f, p->f->line,
			     "%s: the # and what follows is part of the value: " HASH_HINT, o->key);
}

/* For inih. It need not stop at what is wrong: the rest of the file is read for its errors. */
static int on_key(void *arg, const char *section _unused_, const char *key, const char *value)
{
	struct parser *p = arg;
	const struct option *o;

	p->key_expected = false;

	if (p->skip)
		return 1;
	if (!*key) {
		file_error(p->f, p->f->line, "no key before the =; allowed: KEY = VALUE");
		return 1;
	}
	if (p->section == _SECTION_MAX) {
		file_error(p->f, p->f->line,
			   "\"%.80s\" is outside any section; allowed: a section first, " SECTIONS,
			   key);
		return 1;
	}

	o = option_find(p->section, key);
	if (o)
		set_option(p, o, value);
	else
		unknown_key(p, key);
	return 1;
}

/* ---- lines ------------------------------------------------------------------------------ */

enum line_kind { LINE_WELL, LINE_TOO_LONG, LINE_HAS_NUL, LINE_END };

/* Reads a line without its newline, into max + 1 bytes. What does not fit is skipped, never cut. */
static enum line_kind take_line(struct parser *p, char *buf, size_t max)
{
	enum line_kind kind = LINE_END;
	size_t len = 0;
	int c;

	while (p->bytes <= FILE_BYTES && (c = getc(p->stream)) != EOF) {
		p->bytes++;
		if (kind == LINE_END)
			kind = LINE_WELL;
		if (c == '\n')
			break;
		if (c == '\0')
			kind = LINE_HAS_NUL;
		else if (len < max)
			buf[len++] = (char)c;
		else if (kind == LINE_WELL)
			kind = LINE_TOO_LONG;
	}
	if (ferror(p->stream))
		p->read_error = errno;
	buf[len] = '\0';
	return kind;
}

/* An fgets() for inih, which sees nothing but empty lines, comments and lines with a key. */
static char *next_line(char *buf, int size, void *arg)
{
	static const char blanks[] = " \t\r\v\f";
	struct parser *p = arg;
	struct config_file *f = p->f;
	enum line_kind kind;
	size_t skip = 0;

	if (p->key_expected)
		file_error(f, f->line,
			   "not a line of the form KEY = VALUE; allowed: that, "
			   "[SECTION], or a comment that starts with ; or #");
	p->key_expected = false;

	kind = take_line(p, buf, MIN((size_t)size - 1, LINE_BYTES));
	if (kind == LINE_END)
		return NULL;
	f->line++;

	if (kind != LINE_WELL) {
		file_error(
		    f, f->line,
		    kind == LINE_TOO_LONG
			? "line is longer than %d bytes; allowed: a long list on several lines"
			: "line has a NUL byte; allowed: plain text in UTF-8, up to %d bytes",
		    LINE_BYTES);
		buf[0] = '\0';
		return buf;
	}

	if (f->line == 1 && strncmp(buf, BOM, strlen(BOM)) == 0)
		skip = strlen(BOM);
	skip += strspn(buf + skip, blanks);
	memmove(buf, buf + skip, strlen(buf + skip) + 1);

	if (buf[0] == '[') {
		section_line(p, buf);
		buf[0] = '\0';
	}
	p->key_expected = buf[0] && buf[0] != ';' && buf[0] != '#';
	return buf;
}

void parse_file(struct config_file *f, FILE *stream)
{
	struct parser p = {.f = f, .stream = stream, .section = _SECTION_MAX};

	/* inih's own advice: room for "\r", "\n" and NUL. */
	ini_max_line = LINE_BYTES + 3;
	if (ini_parse_stream(next_line, &p, on_key, &p) == -2)
		f->no_memory = true;

	if (p.read_error)
		file_error(f, MAX(f->line, 1), "cannot read: %s", strerror(p.read_error));
	else if (p.bytes > FILE_BYTES)
		file_error(f, f->line, "file is too large; allowed: %u MiB", FILE_BYTES >> 20);
	end_section(&p);
}

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

#include "expand.h"
#include "file.h"
#include "names.h"
#include "parse.h"
#include "section.h"

#define LINE_BYTES 4096
#define FILE_BYTES (16u << 20)
#define BOM        "\xef\xbb\xbf"
#define SECTIONS   "[spliced], [listener NAME], [pool NAME] or [intercept NAME]"

struct parser {
	struct config_file *f;
	FILE *stream;
	size_t bytes;
	int read_error;
	bool too_long;        /* more lines than are counted */
	bool key_expected;    /* inih was given a line that it must find a key in */
	bool skip;            /* the section is wrong: its keys mean nothing */
	enum section section; /* _SECTION_MAX before the first one */
	int spliced_line;     /* of the first [spliced] */
	void *base;           /* the section's struct */
};

/* ---- sections --------------------------------------------------------------------------- */

/* A section of a name that exists is read like any other, so that its errors are found too. */
static void begin_section(struct parser *p, enum section section, const char *name)
{
	p->section = section;
	p->base = section_begin(p->f, section, name);
	p->skip = !p->base;
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
			   place_line(p->spliced_line));
	else if (section == SECTION_SPLICED)
		p->spliced_line = f->line;
	begin_section(p, section, name);
}

/* A line that starts with '['. It may be changed. */
static void section_line(struct parser *p, char *line)
{
	char *word = line + 1, *name, *end = strchr(line, ']'), *rest;

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

/* For inih. It need not stop at what is wrong: the rest of the file is read for its errors. */
static int on_key(void *arg, const char *section _unused_, const char *key, const char *value)
{
	struct parser *p = arg;
	_cleanup_free_ char *expanded = NULL;
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
	if (!o) {
		section_unknown_key(p->f, p->section, key);
		return 1;
	}
	if (!strstr(value, "${")) {
		section_set(p->f, o, p->base, value);
		return 1;
	}
	expanded = expand(p->f, o->key, value);
	if (expanded)
		section_set(p->f, o, p->base, expanded);
	else
		p->f->lines[o - options] = -p->f->line;
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
	if (place_line(f->line) == PLACE_LINE_MAX) {
		p->too_long = true;
		return NULL;
	}
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

	if (place_line(f->line) == 1 && strncmp(buf, BOM, strlen(BOM)) == 0)
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
	int before = f->line;

	/* inih's own advice: room for "\r", "\n" and NUL. */
	ini_max_line = LINE_BYTES + 3;
	if (ini_parse_stream(next_line, &p, on_key, &p) == -2)
		f->no_memory = true;

	if (f->line == before)
		f->line++; /* an empty file is blamed at its first line */
	if (p.read_error)
		file_error(f, f->line, "cannot read: %s", strerror(p.read_error));
	else if (p.bytes > FILE_BYTES)
		file_error(f, f->line, "file is too large; allowed: %u MiB", FILE_BYTES >> 20);
	else if (p.too_long)
		file_error(f, f->line, "file is too long; allowed: %d lines", PLACE_LINE_MAX);
}

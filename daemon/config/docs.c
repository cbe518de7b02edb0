/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sample file and the manual page's options, written from the option table alone. */
#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "matchers.h"
#include "option.h"

#define COLUMNS 78

/* Writes text as comment lines, broken between words. */
static void print_comment(const char *text, FILE *out)
{
	size_t column = 0;

	while (*text) {
		size_t len = strcspn(text, " ");

		if (column && column + 1 + len > COLUMNS) {
			fputc('\n', out);
			column = 0;
		}
		column += (size_t)fprintf(out, "%s%.*s", column ? " " : "# ", (int)len, text);
		text += len + strspn(text + len, " ");
	}
	fputc('\n', out);
}

/* "Default: auto. Allowed: auto, or 1 to 256 threads. Takes effect at a restart." */
static void add_facts(const struct option *o, struct text *t)
{
	if (!o->def)
		text_add(t, "Required.");
	else
		text_add(t, "Default: %s.", *o->def ? o->def : "empty");

	text_add(t, " Allowed: ");
	option_add_allowed(o, t);
	text_add(t, ".");

	if (o->type == OPTION_SERVERS || o->type == OPTION_ROUTES)
		text_add(t, " One on each line; the key may be written several times.");
	else if (o->count)
		text_add(t, " Several are separated by commas, or on lines of their own.");
	if (o->reload == RESTART)
		text_add(t, " A change takes effect at a restart.");
}

/* What may follow the address of a server, one comment line for each. */
static void sample_attributes(FILE *out)
{
	for (const struct option *o = option_next(SECTION_SERVER, NULL); o;
	     o = option_next(SECTION_SERVER, o)) {
		struct text t = {0};

		text_add(&t, "- %s: %s. Default: %s.", o->key, o->help, o->def);
		print_comment(t.s, out);
	}
}

/* What a route is made of, likewise. */
static void sample_matchers(FILE *out)
{
	for (int i = 0; i < _MATCH_KIND_MAX; i++) {
		struct text t = {0};

		text_add(&t, "- %s: %s.", match_infos[i].form, match_infos[i].help);
		print_comment(t.s, out);
	}
}

static void sample_option(const struct option *o, FILE *out)
{
	struct text facts = {0};

	fputc('\n', out);
	print_comment(o->help, out);
	add_facts(o, &facts);
	print_comment(facts.s, out);
	if (o->type == OPTION_SERVERS)
		sample_attributes(out);
	if (o->type == OPTION_ROUTES)
		sample_matchers(out);

	if (o->example)
		fprintf(out, "%s%s = %s\n", sections[o->section].optional ? "#" : "", o->key,
			o->example);
	else
		fprintf(out, "#%s =%s%s\n", o->key, *o->def ? " " : "", o->def);
}

void config_print_sample(FILE *out)
{
	print_comment("spliced.conf, written by `spliced --print-sample` from the table that "
		      "the daemon reads the file with.",
		      out);
	print_comment("Lines that start with # or ; are comments, and so is what follows a ; that "
		      "stands after white space. A line that starts with # and a key shows the "
		      "key's default.",
		      out);

	for (enum section s = SECTION_SPLICED; s < SECTION_SERVER; s++) {
		const struct section_info *info = &sections[s];

		fputc('\n', out);
		print_comment(info->help, out);
		fprintf(out, "%s[%s%s%s]\n", info->optional ? "#" : "", info->name,
			info->named ? " " : "", info->named ? info->example : "");
		for (const struct option *o = option_next(s, NULL); o; o = option_next(s, o))
			sample_option(o, out);
	}
}

/* Text that roff prints as it is: '-' stays a minus, and no line of it is a request. */
static void print_roff(const char *text, FILE *out)
{
	static const char *const names[UCHAR_MAX + 1] = {
	    ['\\'] = "\\e", ['-'] = "\\-", ['`'] = "\\(ga", ['^'] = "\\(ha", ['~'] = "\\(ti",
	};
	char before = '\0';

	if (*text == '.')
		fputs("\\&", out);

	for (; *text; before = *text++) {
		const char *name = names[(unsigned char)*text];

		/* Behind a letter it is an apostrophe. */
		if (*text == '\'' && !isalpha((unsigned char)before))
			name = "\\(aq";
		if (name)
			fputs(name, out);
		else
			fputc(*text, out);
	}
}

static void man_attributes(FILE *out)
{
	fputs(".RS\n", out);
	for (const struct option *o = option_next(SECTION_SERVER, NULL); o;
	     o = option_next(SECTION_SERVER, o)) {
		struct text allowed = {0};

		option_add_allowed(o, &allowed);
		fprintf(out, ".TP\n\\fB%s\\fR\n", o->key);
		print_roff(o->help, out);
		fprintf(out, ".\n");
		print_roff("Default: ", out);
		print_roff(o->def, out);
		if (o->type == OPTION_BOOL)
			fputs("; the word alone means yes.\n", out);
		else
			fprintf(out, "; allowed: %s.\n", allowed.s);
	}
	fputs(".RE\n", out);
}

static void man_matchers(FILE *out)
{
	fputs(".RS\n", out);
	for (int i = 0; i < _MATCH_KIND_MAX; i++) {
		fprintf(out, ".TP\n\\fB%s\\fR\n", match_infos[i].form);
		print_roff(match_infos[i].help, out);
		fputs(".\n", out);
	}
	fputs(".RE\n", out);
}

static void man_option(const struct option *o, FILE *out)
{
	struct text facts = {0};

	add_facts(o, &facts);
	fprintf(out, ".TP\n\\fB%s\\fR\n", o->key);
	print_roff(o->help, out);
	fputs("\n.br\n", out);
	print_roff(facts.s, out);
	fputc('\n', out);
	if (o->type == OPTION_SERVERS)
		man_attributes(out);
	if (o->type == OPTION_ROUTES)
		man_matchers(out);
}

void config_print_man(FILE *out)
{
	fputs(".SH OPTIONS\n", out);
	for (enum section s = SECTION_SPLICED; s < SECTION_SERVER; s++) {
		const struct section_info *info = &sections[s];

		fprintf(out, ".SS [%s%s]\n", info->name, info->named ? " NAME" : "");
		print_roff(info->help, out);
		fputc('\n', out);
		for (const struct option *o = option_next(s, NULL); o; o = option_next(s, o))
			man_option(o, out);
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server.h"

#include <errno.h>
#include <string.h>

#include "names.h"
#include "value.h"

#define BLANKS   " \t"
#define INTERNAL "internal:"
#define ORIGINAL "original:"

static void server_clearp_(struct server_config *s)
{
	server_clear(s);
}

static int invalid(const char **why, const char *phrase)
{
	*why = phrase;
	return -EINVAL;
}

/* HOST:PORT. `problem` is why it is no literal address, for a text that looks like one. */
static int parse_name(const char *text, const char *problem, struct endpoint *ret, const char **why)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);
	bool numeric = false;
	unsigned long port;

	if (text[0] == '[' || !host_is_valid(text, len, &numeric)) {
		bool literal = text[0] == '[' || memchr(text, ':', len);

		return invalid(why, literal ? problem : "not a valid host name");
	}
	if (!colon)
		return invalid(why, "port is missing");
	if (numeric)
		return invalid(why, problem);

	if (!colon[1] || strlen(colon + 1) > 5 || colon[1 + strspn(colon + 1, "0123456789")])
		return invalid(why, "port is not 1-65535");
	port = strtoul(colon + 1, NULL, 10);
	if (port == 0 || port > UINT16_MAX)
		return invalid(why, "port is not 1-65535");

	ret->host = strndup(text, len);
	if (!ret->host)
		return -ENOMEM;
	ret->kind = ENDPOINT_NAME;
	ret->port = (uint16_t)port;
	return 0;
}

int endpoint_parse(const char *text, struct endpoint *ret, const char **why)
{
	struct endpoint e = {.kind = ENDPOINT_ADDR};
	const char *problem;
	int r = 0;

	if (strncmp(text, INTERNAL, strlen(INTERNAL)) == 0) {
		if (strcmp(text, INTERNAL "hello") != 0)
			return invalid(why, "the only internal server is internal:hello");
		e.kind = ENDPOINT_INTERNAL;
		e.host = strdup(text + strlen(INTERNAL));
		if (!e.host)
			return -ENOMEM;
	} else if (strcmp(text, ORIGINAL) == 0) {
		e.kind = ENDPOINT_ORIGINAL;
	} else if (addr_parse(text, &e.addr, &problem) < 0) {
		if (strncmp(text, "unix:", 5) == 0)
			return invalid(why, problem);
		r = parse_name(text, problem, &e, why);
	} else if (e.addr.sa.sa_family != AF_UNIX && addr_port(&e.addr) == 0) {
		return invalid(why, "port is not 1-65535");
	}

	if (r == 0)
		*ret = e;
	return r;
}

/* One word behind the address: KEY=VALUE, or KEY alone for yes. */
static int parse_attribute(char *word, struct server_config *s, bool *seen, struct text *why)
{
	char *value = strchr(word, '=');
	const struct option *o;
	int r;

	if (value)
		*value++ = '\0';

	o = option_find(SECTION_SERVER, word);
	if (!o) {
		const char *near = option_nearest(SECTION_SERVER, word);

		text_add_quoted(why, word);
		text_add(why, " is unknown");
		if (near)
			text_add(why, ", did you mean %s?", near);
		return -EINVAL;
	}
	if (seen[o - options]) {
		text_add(why, "%s is given twice", o->key);
		return -EINVAL;
	}
	seen[o - options] = true;

	if (!value && o->type == OPTION_BOOL)
		value = "yes";
	if (!value)
		value = "";

	text_add(why, "%s: ", o->key);
	r = value_set(o, s, value, why);
	if (r == 0)
		*why = (struct text){0};
	return r;
}

static int parse_name_and_address(char **rest, struct server_config *s, struct text *why)
{
	const char *name = strsep(rest, BLANKS), *address, *problem;
	int r;

	if (*rest)
		*rest += strspn(*rest, BLANKS);
	address = strsep(rest, BLANKS);

	if (!name_is_valid(name)) {
		text_add_quoted(why, name);
		text_add(why, " is not a valid server name, which is " NAME_ALLOWED);
		return -EINVAL;
	}
	if (!address) {
		text_add(why, "the server's address is missing");
		return -EINVAL;
	}

	r = endpoint_parse(address, &s->endpoint, &problem);
	if (r == -EINVAL) {
		text_add_quoted(why, address);
		text_add(why, ": %s", problem);
	}
	if (r < 0)
		return r;

	s->name = strdup(name);
	s->text = strdup(address);
	return s->name && s->text ? 0 : -ENOMEM;
}

int server_parse(const char *text, struct server_config *ret, struct text *why)
{
	_cleanup_(server_clearp_) struct server_config s = {0};
	_cleanup_free_ char *copy = strdup(text + strspn(text, BLANKS));
	bool seen[_OPTION_ID_MAX] = {false};
	char *rest = copy, *word;
	int r;

	if (!copy)
		return -ENOMEM;

	r = value_set_defaults(SECTION_SERVER, &s);
	if (r < 0)
		return r;
	r = parse_name_and_address(&rest, &s, why);
	if (r < 0)
		return r;

	while ((word = strsep(&rest, BLANKS))) {
		if (!*word)
			continue;
		r = parse_attribute(word, &s, seen, why);
		if (r < 0)
			return r;
	}

	*ret = s;
	s = (struct server_config){0};
	return 0;
}

/* `text` keeps the file's address, so that a dump shows what was written. */
void server_format(const struct server_config *s, FILE *out)
{
	fprintf(out, "%s %s", s->name, s->text);
	for (const struct option *o = option_next(SECTION_SERVER, NULL); o;
	     o = option_next(SECTION_SERVER, o)) {
		if (o->type == OPTION_BOOL) {
			if (*(const bool *)((const char *)s + o->field))
				fprintf(out, " %s", o->key);
			continue;
		}
		fprintf(out, " %s=", o->key);
		value_format(o, s, out);
	}
}

void server_clear(struct server_config *s)
{
	free(s->name);
	free(s->text);
	free(s->endpoint.host);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "matchers.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "list.h"
#include "value.h"

#define BLANKS " \t"

const char matchers_allowed[] =
    "MATCHERS -> POOL, where MATCHERS are sni:HOST alpn:NAME host:HOST path:/PREFIX method:NAME "
    "header:NAME header:NAME=VALUE src:NETWORK with blanks between, and HOST is a name, *.SUFFIX "
    "or *";

const char *const match_kind_str[_MATCH_KIND_MAX] = {
    [MATCH_SNI] = "sni",    [MATCH_ALPN] = "alpn",     [MATCH_HOST] = "host",
    [MATCH_PATH] = "path",  [MATCH_METHOD] = "method", [MATCH_HEADER] = "header",
    [MATCH_SOURCE] = "src",
};

static void route_clearp_(struct route_config *r)
{
	route_clear(r);
}

static int wrong(struct text *why, const char *word, const char *problem)
{
	text_add_quoted(why, word);
	text_add(why, ": %s", problem);
	return -EINVAL;
}

static bool is_token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("!#$%&'*+-.^_`|~", *s))
			return false;
	return true;
}

/* A name, *.suffix or *: the text is kept in lower case, without a trailing dot. */
static int parse_host(char *value, struct route_match *m, struct text *why, const char *word)
{
	size_t len = strlen(value);
	const char *name = value;

	m->host = HOST_EXACT;
	if (strcmp(value, "*") == 0) {
		m->host = HOST_ANY;
		return 0;
	}
	if (len && value[len - 1] == '.')
		value[--len] = '\0';
	if (value[0] == '*' && value[1] == '.') {
		m->host = HOST_SUFFIX;
		name = value + 1; /* with the dot */
	}
	for (char *c = value; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (!len || len > 253 ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.:[]") != strlen(name) ||
	    strstr(name, "..") || (m->host == HOST_EXACT && name[0] == '.'))
		return wrong(why, word, "not a host name, *.SUFFIX or *");
	m->text = strdup(name);
	return m->text ? 0 : -ENOMEM;
}

static int parse_header(char *value, struct route_match *m, struct text *why, const char *word)
{
	char *equals = strchr(value, '=');

	if (equals)
		*equals++ = '\0';
	if (!is_token(value))
		return wrong(why, word, "not the name of a header field");
	m->text = strdup(value);
	if (equals)
		m->value = strdup(equals);
	return m->text && (!equals || m->value) ? 0 : -ENOMEM;
}

static int parse_text(char *value, struct route_match *m, struct text *why, const char *word)
{
	if (m->kind == MATCH_PATH && value[0] != '/')
		return wrong(why, word, "a path begins with /");
	if (m->kind == MATCH_METHOD && !is_token(value))
		return wrong(why, word, "not a method");
	if (m->kind == MATCH_ALPN && (!*value || strlen(value) > 255))
		return wrong(why, word, "not an ALPN name");
	m->text = strdup(value);
	return m->text ? 0 : -ENOMEM;
}

static int parse_value(char *value, struct route_match *m, struct text *why, const char *word)
{
	const char *problem;

	switch (m->kind) {
	case MATCH_SNI:
	case MATCH_HOST:
		return parse_host(value, m, why, word);
	case MATCH_HEADER:
		return parse_header(value, m, why, word);
	case MATCH_SOURCE:
		if (cidr_parse(value, &m->source, &problem) < 0)
			return wrong(why, word, problem);
		return 0;
	default:
		return parse_text(value, m, why, word);
	}
}

static int parse_match(const char *word, struct route_match *m, struct text *why)
{
	_cleanup_free_ char *copy = strdup(word);
	char *colon = copy ? strchr(copy, ':') : NULL;

	if (!copy)
		return -ENOMEM;
	if (!colon)
		return wrong(why, word, "a matcher is KIND:VALUE");
	*colon = '\0';
	for (int i = 0; i < _MATCH_KIND_MAX; i++) {
		if (strcmp(copy, match_kind_str[i]) != 0)
			continue;
		m->kind = (enum match_kind)i;
		return parse_value(colon + 1, m, why, word);
	}
	return wrong(why, word, "there is no such matcher");
}

static int parse_matches(char *rest, struct route_config *r, struct text *why)
{
	char *word;
	int err;

	while ((word = strsep(&rest, BLANKS))) {
		struct route_match *m;

		if (!*word)
			continue;
		m = list_grow(&r->matches, r->n_matches, sizeof(*m));
		if (!m)
			return -ENOMEM;
		r->n_matches++;
		err = parse_match(word, m, why);
		if (err < 0)
			return err;
	}
	return 0;
}

int route_parse(const char *text, struct route_config *ret, struct text *why)
{
	_cleanup_(route_clearp_) struct route_config r = {.pool_index = SIZE_MAX};
	_cleanup_free_ char *copy = strdup(text);
	char *arrow, *pool;
	int err;

	if (!copy)
		return -ENOMEM;
	arrow = strstr(copy, "->");
	if (!arrow) {
		text_add(why, "\"->\" and a pool are missing");
		return -EINVAL;
	}
	*arrow = '\0';
	pool = arrow + 2 + strspn(arrow + 2, BLANKS);
	pool[strcspn(pool, BLANKS)] = '\0';
	if (!name_is_valid(pool))
		return wrong(why, pool, "not the name of a pool");
	r.pool = strdup(pool);
	r.text = strdup(text);
	if (!r.pool || !r.text)
		return -ENOMEM;
	err = parse_matches(copy, &r, why);
	if (err < 0)
		return err;
	*ret = r;
	r = (struct route_config){0};
	return 0;
}

void route_format(const struct route_config *r, FILE *out)
{
	fputs(r->text, out);
}

void route_clear(struct route_config *r)
{
	for (size_t i = 0; i < r->n_matches; i++) {
		free(r->matches[i].text);
		free(r->matches[i].value);
	}
	free(r->matches);
	free(r->pool);
	free(r->text);
}

static bool is_seen(enum match_kind kind, enum protocol protocol)
{
	switch (kind) {
	case MATCH_SOURCE:
		return true;
	case MATCH_SNI:
	case MATCH_ALPN:
		return protocol == PROTOCOL_TLS || protocol == PROTOCOL_AUTO;
	default:
		return protocol == PROTOCOL_HTTP || protocol == PROTOCOL_AUTO;
	}
}

const struct route_match *route_unseen(const struct route_config *r, enum protocol protocol)
{
	for (size_t i = 0; i < r->n_matches; i++)
		if (!is_seen(r->matches[i].kind, protocol))
			return &r->matches[i];
	return NULL;
}

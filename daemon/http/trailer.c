// SPDX-License-Identifier: GPL-2.0-or-later
#include "trailer.h"

#include <errno.h>
#include <stdlib.h>

#include "field.h"
#include "named.h"
#include "syntax.h"

static const char *const credentials[] = {
    "authorization",
    "proxy-authorization",
    "www-authenticate",
    "proxy-authenticate",
    "cookie",
    "cookie2",
    "set-cookie",
    "set-cookie2",
    "proxy-authentication-info",
};

/* Besides credentials, and those that http_field_parse() knows, all of which belong in a head. */
static const char *const of_heads[] = {
    /* what is asked for */
    "cache-control",
    "pragma",
    "range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    /* what is to become of the response */
    "age",
    "expires",
    "location",
    "retry-after",
    "vary",
    "warning",
    /* how the content is to be read */
    "content-encoding",
    "content-type",
    "content-range",
};

static bool is_among(const char *name, size_t len, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(names[i]) == len && names_alike(name, names[i], len))
			return true;
	return false;
}

bool name_is_credential(const char *name, size_t len)
{
	return is_among(name, len, credentials, sizeof(credentials) / sizeof(credentials[0]));
}

static bool is_option(const struct trailer_rules *t, const char *name, size_t len)
{
	struct http_slice rest = {0, (uint32_t)t->options_len}, option;

	while (t->options && list_next(t->options, &rest, &option))
		if (option.len == len && names_alike(t->options + option.at, name, len))
			return true;
	return false;
}

bool trailer_may_pass(const struct trailer_rules *t, const char *line, size_t len)
{
	struct http_field f;
	size_t n;

	if (http_field_parse(line, len, &f) < 0)
		return false;
	n = f.name.len;
	if (f.id != FIELD_OTHER || f.alias != FIELD_OTHER || name_is_of_proxies(line, n) ||
	    name_is_credential(line, n) ||
	    is_among(line, n, of_heads, sizeof(of_heads) / sizeof(of_heads[0])))
		return false;
	if (!t)
		return true;
	if (t->request_id && strlen(t->request_id) == n && names_alike(line, t->request_id, n))
		return false;
	return !(t->no_underscores && f.underscore) && !is_option(t, line, n);
}

int trailer_rules_set(struct trailer_rules *t, const struct http_head *head, const char *in)
{
	size_t n = 0;
	char *at;

	trailer_rules_fini(t);
	if (!head->connection_others || !head->chunked)
		return 0;
	for (unsigned int i = 0; i < head->n_fields; i++)
		if (head->fields[i].id == FIELD_CONNECTION)
			n += head->fields[i].value.len + 1;
	if (!n)
		return 0;
	at = t->options = malloc(n);
	if (!at)
		return -ENOMEM;
	for (unsigned int i = 0; i < head->n_fields; i++) {
		struct http_slice value = head->fields[i].value;

		if (head->fields[i].id != FIELD_CONNECTION)
			continue;
		at = mempcpy(at, in + value.at, value.len);
		*at++ = ',';
	}
	t->options_len = n;
	return 0;
}

void trailer_rules_fini(struct trailer_rules *t)
{
	free(t->options);
	t->options = NULL;
	t->options_len = 0;
}

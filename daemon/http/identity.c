// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * NTLM and Negotiate (RFC 4559) say who a client is for a connection, not for a request: whatever
 * comes on it afterwards is taken to be that client's.
 */
#include <string.h>
#include <strings.h>

#include "exchange.h"
#include "syntax.h"

static bool is_named(const char *text, size_t len, const char *name)
{
	return len == strlen(name) && strncasecmp(text, name, len) == 0;
}

static bool is_scheme(const char *text, size_t len)
{
	return is_named(text, len, "NTLM") || is_named(text, len, "Negotiate");
}

/* Behind a quoted string, of which text[at] is the first byte inside. */
static size_t skip_quoted(const char *text, size_t len, size_t at)
{
	for (; at < len && text[at] != '"'; at++)
		if (text[at] == '\\')
			at++;
	return at < len ? at + 1 : len;
}

/* Whether an element of a list of challenges (RFC 9110, 11.6.1), or credentials, begins with such a
 * scheme. A parameter of that name is taken for one: that costs no more than a connection. */
static bool has_scheme(const char *text, size_t len)
{
	size_t at = 0, begin;

	while (at < len) {
		while (at < len && (char_is_blank(text[at]) || text[at] == ','))
			at++;
		begin = at;
		while (at < len && char_is(text[at], CHAR_TOKEN))
			at++;
		if (is_scheme(text + begin, at - begin))
			return true;
		while (at < len && text[at] != ',')
			at = text[at] == '"' ? skip_quoted(text, len, at + 1) : at + 1;
	}
	return false;
}

static bool is_about_identity(const char *name, size_t len, bool response)
{
	if (response)
		return is_named(name, len, "WWW-Authenticate") ||
		       is_named(name, len, "Proxy-Authenticate");
	return is_named(name, len, "Authorization") || is_named(name, len, "Proxy-Authorization");
}

bool http_identifies(const struct http_head *head, const char *in)
{
	for (unsigned int i = 0; i < head->n_fields; i++) {
		const struct http_field *f = &head->fields[i];

		if (f->id == FIELD_OTHER &&
		    is_about_identity(in + f->name.at, f->name.len, head->is_response) &&
		    has_scheme(in + f->value.at, f->value.len))
			return true;
	}
	return false;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "syntax.h"

#include <ctype.h>
#include <stdio.h>

#include "../addr.h"
#include "../util.h"

#define T CHAR_TOKEN
#define U CHAR_TARGET
#define N CHAR_NAME

/*
 * Targets may hold all visible ASCII but '#': browsers send more of it than RFC 3986 allows, and
 * nobody splits a request there. Names are RFC 3986's reg-name.
 */
const uint8_t http_chars[256] = {
    ['!'] = T | U | N,
    ['"'] = U,
    ['#'] = T,
    ['$'] = T | U | N,
    ['%'] = T | U,
    ['&'] = T | U | N,
    ['\''] = T | U | N,
    ['('] = U | N,
    [')'] = U | N,
    ['*'] = T | U | N,
    ['+'] = T | U | N,
    [','] = U | N,
    ['-'] = T | U | N,
    ['.'] = T | U | N,
    ['/'] = U,
    ['0' ... '9'] = T | U | N | CHAR_DIGIT | CHAR_HEX,
    [':'] = U,
    [';'] = U | N,
    ['<'] = U,
    ['='] = U | N,
    ['>'] = U,
    ['?'] = U,
    ['@'] = U,
    ['A' ... 'F'] = T | U | N | CHAR_HEX,
    ['G' ... 'Z'] = T | U | N,
    ['['] = U,
    ['\\'] = U,
    [']'] = U,
    ['^'] = T | U,
    ['_'] = T | U | N | CHAR_UNDERSCORE,
    ['`'] = T | U,
    ['a' ... 'f'] = T | U | N | CHAR_HEX,
    ['g' ... 'z'] = T | U | N,
    ['{'] = U,
    ['|'] = T | U,
    ['}'] = U,
    ['~'] = T | U | N,
};

/* The lower case of a letter; other characters of tokens do not become letters, digits or '-'. */
static char folded(char c)
{
	return (char)(c | 0x20);
}

bool token_is(const char *text, size_t len, const char *lower)
{
	if (strlen(lower) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!char_is(text[i], CHAR_TOKEN) || folded(text[i]) != lower[i])
			return false;
	return true;
}

/* Returns the length of "[...]" at the front of text, 0 if that is no IPv6 address. */
static size_t take_ipv6(const char *text, size_t len)
{
	const char *end = memchr(text, ']', len);
	char host[ADDR_IPV6_HOST_MAX];
	size_t n = end ? (size_t)(end - text) + 1 : 0;

	return addr_ipv6_host(text, n, host) ? n : 0;
}

/* What a CGI program makes of a character of a name: all but letters and digits is one and the
 * same.
 */
static char cgi_char(char c)
{
	if (c >= 'A' && c <= 'Z')
		return folded(c);
	return (c >= 'a' && c <= 'z') || char_is(c, CHAR_DIGIT) ? c : '_';
}

int names_compare(const char *a, const char *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (cgi_char(a[i]) != cgi_char(b[i]))
			return (uint8_t)cgi_char(a[i]) < (uint8_t)cgi_char(b[i]) ? -1 : 1;
	return 0;
}

bool names_alike(const char *a, const char *b, size_t len)
{
	return names_compare(a, b, len) == 0;
}

/*
 * Returns the length of the name at the front of text, which ends at its end or with a ':'; 0: it
 * is none. A dot may end it; other labels are not empty.
 */
static size_t take_name(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len && text[i] != ':') {
		if (text[i] == '.' && (i == 0 || text[i - 1] == '.'))
			return 0;
		if (text[i] == '%') {
			if (len - i < 3 || !char_is(text[i + 1], CHAR_HEX) ||
			    !char_is(text[i + 2], CHAR_HEX))
				return 0;
			i += 3;
		} else if (char_is(text[i], CHAR_NAME)) {
			i++;
		} else {
			return 0;
		}
	}
	return i <= HTTP_HOST_MAX ? i : 0;
}

bool authority_is_valid(const char *text, size_t len, bool needs_port)
{
	uint32_t port = 0;
	size_t i;

	if (!len)
		return false;
	i = text[0] == '[' ? take_ipv6(text, len) : take_name(text, len);
	if (i == 0)
		return false;
	if (i == len)
		return !needs_port;
	if (text[i] != ':' || len - i > sizeof(":65535") - 1)
		return false;
	for (i++; i < len; i++) {
		if (!char_is(text[i], CHAR_DIGIT))
			return false;
		port = port * 10 + (uint32_t)(text[i] - '0');
	}
	return port <= UINT16_MAX && (port != 0 || !needs_port);
}

void http_host_split(const char *host, size_t len, size_t *name_len, uint16_t *port)
{
	size_t i = len;
	uint32_t n = 0;

	*name_len = len;
	*port = 0;
	while (i > 0 && char_is(host[i - 1], CHAR_DIGIT))
		i--;
	if (i == 0 || host[i - 1] != ':')
		return;
	*name_len = i - 1;
	for (; i < len; i++)
		n = n * 10 + (uint32_t)(host[i] - '0');
	*port = (uint16_t)n;
}

bool list_next(const char *buf, struct http_slice *rest, struct http_slice *ret)
{
	const char *text = buf + rest->at, *comma;
	size_t start = 0, end;

	if (rest->len == 0)
		return false;
	comma = memchr(text, ',', rest->len);
	end = comma ? (size_t)(comma - text) : rest->len;
	rest->at += (uint32_t)(end + (comma != NULL));
	rest->len -= (uint32_t)(end + (comma != NULL));

	while (start < end && char_is_blank(text[start]))
		start++;
	while (end > start && char_is_blank(text[end - 1]))
		end--;
	*ret =
	    (struct http_slice){(uint32_t)(text - buf + (ptrdiff_t)start), (uint32_t)(end - start)};
	return true;
}

void http_host_name(const char *authority, size_t len, char *ret, size_t size)
{
	char ipv6[ADDR_IPV6_HOST_MAX];
	uint16_t port;
	size_t n;

	http_host_split(authority, len, &n, &port);
	if (addr_ipv6_host(authority, n, ipv6)) {
		(void)snprintf(ret, size, "%s", ipv6);
		return;
	}
	if (n && authority[n - 1] == '.')
		n--;
	n = MIN(n, size - 1);
	for (size_t i = 0; i < n; i++)
		ret[i] = (char)tolower((unsigned char)authority[i]);
	ret[n] = '\0';
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What heads and chunked bodies are made of: characters, tokens, lines, lists, authorities. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "head.h"

enum char_class {
	CHAR_TOKEN = 1,
	CHAR_TARGET = 2, /* of a request target */
	CHAR_NAME = 4,   /* of a host name, without the '%' of an escaped byte */
	CHAR_DIGIT = 8,
	CHAR_HEX = 16,
	CHAR_UNDERSCORE = 32,
};

extern const uint8_t http_chars[256];

static inline bool char_is(char c, enum char_class class)
{
	return (http_chars[(uint8_t)c] & class) != 0;
}

static inline bool char_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static inline bool char_is_control(char c)
{
	return ((uint8_t)c < 0x20 && c != '\t') || c == 0x7f;
}

/* Do eight bytes hold one below 0x20 or a 0x7f? */
static inline bool word_has_control(uint64_t word)
{
	const uint64_t ones = ~UINT64_C(0) / 0xff;
	uint64_t del = word ^ (ones * 0x7f);

	return ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & (ones * 0x80)) != 0;
}

/* The place of the first control byte but HT in buf[from, len), which ends a line; or len. */
static inline size_t line_scan(const char *buf, size_t from, size_t len)
{
	uint64_t word;

	while (len - from >= sizeof(word)) {
		memcpy(&word, buf + from, sizeof(word));
		if (word_has_control(word))
			for (size_t i = 0; i < sizeof(word); i++)
				if (char_is_control(buf[from + i]))
					return from + i;
		from += sizeof(word);
	}
	while (from < len && !char_is_control(buf[from]))
		from++;
	return from;
}

/* Letters of any case; `lower` is in lower case and holds letters, digits and '-' only. */
bool token_is(const char *text, size_t len, const char *lower);

/*
 * Two names of fields that programs behind CGI, FastCGI, WSGI and their like cannot tell apart:
 * they get them as variables, in which letters have one case, and everything that is neither letter
 * nor digit is an underscore.
 */
bool names_alike(const char *a, const char *b, size_t len);
/* An order of names of one length, in which those are the same; as memcmp(). */
int names_compare(const char *a, const char *b, size_t len);

/* host [":" port], as in Host and in targets: a name, an IPv4 address or [IPv6 address]. */
bool authority_is_valid(const char *text, size_t len, bool needs_port);

/*
 * Takes the next element of a comma-separated list off *rest; *ret has no blanks around it and may
 * be empty. False: there is none left.
 */
bool list_next(const char *buf, struct http_slice *rest, struct http_slice *ret);

/* Splits a host that a head was accepted with: "[::1]:80" is 5 bytes of name and port 80; 0: none.
 */
void http_host_split(const char *host, size_t len, size_t *name_len, uint16_t *port);
/*
 * "WWW.Example.:8080" -> "www.example": lower case, without port and trailing dot; and an address
 * of IPv6 as addr_ipv6_host() spells it. Cut to fit.
 */
void http_host_name(const char *authority, size_t len, char *ret, size_t size);

// SPDX-License-Identifier: GPL-2.0-or-later
#include "guess.h"

#include <stdbool.h>
#include <string.h>

#include "../util.h"

#define TLS_HANDSHAKE 22
#define METHOD_MAX    24

/* The preface is a request line with a method of its own. */
static bool ends_as_http(const uint8_t *line, size_t len)
{
	static const char version[] = " HTTP/";
	const uint8_t *at = len >= 9 ? line + len - 9 : line;

	return len > 12 && memcmp(at, version, sizeof(version) - 1) == 0 &&
	       (at[6] == '1' || at[6] == '2') && at[7] == '.';
}

/* The length of the method at the front; 0: none. *more: it may go on. */
static size_t method_length(const uint8_t *buf, size_t len, bool *more)
{
	size_t n = 0;

	while (n < len && n < METHOD_MAX && ((buf[n] >= 'A' && buf[n] <= 'Z') || buf[n] == '-'))
		n++;
	*more = n == len && n < METHOD_MAX;
	return n < len && n < METHOD_MAX && buf[n] == ' ' ? n : 0;
}

enum guess guess_protocol(const uint8_t *buf, size_t len, size_t *scanned)
{
	const uint8_t *end;
	size_t n;
	bool more;

	if (!len)
		return GUESS_MORE;
	if (buf[0] == TLS_HANDSHAKE && (len < 2 || buf[1] == 3))
		return len < 2 ? GUESS_MORE : GUESS_TLS;
	n = method_length(buf, len, &more);
	if (!n)
		return more ? GUESS_MORE : GUESS_OTHER;
	/* Beyond that it is no line of HTTP, whether its end came along or comes later. */
	end = memchr(buf + *scanned, '\n', MIN(len, GUESS_LINE_MAX) - *scanned);
	if (!end) {
		*scanned = MIN(len, GUESS_LINE_MAX);
		return len >= GUESS_LINE_MAX ? GUESS_OTHER : GUESS_MORE;
	}
	if (end > buf && end[-1] == '\r')
		end--;
	return ends_as_http(buf, (size_t)(end - buf)) ? GUESS_HTTP : GUESS_OTHER;
}

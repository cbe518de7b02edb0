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

bool guess_is_empty(const uint8_t *buf, size_t len)
{
	size_t n = 0;

	while (n < len && (buf[n] == '\r' || buf[n] == '\n'))
		n++;
	return n == len;
}

/* Behind the empty lines at buf[at]; of one that is not whole it is not known yet. */
static size_t skip_empty(const uint8_t *buf, size_t len, size_t at)
{
	for (;;) {
		size_t end = at < len && buf[at] == '\r' ? at + 1 : at;

		if (end == len || buf[end] != '\n')
			return at;
		at = end + 1;
	}
}

/* buf[at] is the line's first byte. GUESS_HTTP here: it begins with a method. */
static enum guess guess_method(const uint8_t *buf, size_t len, size_t at)
{
	bool more;

	if (guess_is_empty(buf + at, len - at))
		return len >= GUESS_LINE_MAX ? GUESS_OTHER : GUESS_MORE;
	if (method_length(buf + at, len - at, &more))
		return GUESS_HTTP;
	return more ? GUESS_MORE : GUESS_OTHER;
}

enum guess guess_protocol(const uint8_t *buf, size_t len, size_t *scanned)
{
	const uint8_t *end;
	enum guess r;

	if (!len)
		return GUESS_MORE;
	if (buf[0] == TLS_HANDSHAKE && (len < 2 || buf[1] == 3))
		return len < 2 ? GUESS_MORE : GUESS_TLS;
	/* Of the line itself no end was looked at before: then it would be known what it is. */
	if (!*scanned || buf[*scanned - 1] == '\n') {
		*scanned = skip_empty(buf, len, *scanned);
		r = guess_method(buf, len, *scanned);
		if (r != GUESS_HTTP)
			return r;
	}
	/* Beyond that it is no line of HTTP, whether its end came along or comes later. */
	end = *scanned < GUESS_LINE_MAX
		  ? memchr(buf + *scanned, '\n', MIN(len, GUESS_LINE_MAX) - *scanned)
		  : NULL;
	if (!end) {
		*scanned = MIN(len, GUESS_LINE_MAX);
		return len >= GUESS_LINE_MAX ? GUESS_OTHER : GUESS_MORE;
	}
	if (end > buf && end[-1] == '\r')
		end--;
	return ends_as_http(buf, (size_t)(end - buf)) ? GUESS_HTTP : GUESS_OTHER;
}

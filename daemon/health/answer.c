// SPDX-License-Identifier: GPL-2.0-or-later
#include "answer.h"

#include <stdbool.h>
#include <string.h>

#include "../util.h"

/* ---- HTTP ------------------------------------------------------------------------------- */

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200", and what ends the number. */
static enum answer status_line(const uint8_t *buf, size_t len, unsigned int *status)
{
	static const char begins[] = "HTTP/1.";
	size_t n = sizeof(begins) - 1;

	if (memcmp(buf, begins, MIN(len, n)) != 0)
		return ANSWER_BAD;
	for (size_t i = n; i < MIN(len, n + 6); i++) {
		bool good = i == n + 1   ? buf[i] == ' '
			    : i == n + 5 ? buf[i] == ' ' || buf[i] == '\r' || buf[i] == '\n'
			    : i == n + 2 ? buf[i] >= '1' && buf[i] <= '9'
					 : is_digit(buf[i]);

		if (!good)
			return ANSWER_BAD;
	}
	if (len < n + 6)
		return ANSWER_MORE;
	*status = (buf[n + 2] - '0') * 100u + (buf[n + 3] - '0') * 10u + (buf[n + 4] - '0');
	return ANSWER_GOOD;
}

/* How long the head is, with the empty line that ends it; 0: it is not all there. */
static size_t head_length(const uint8_t *buf, size_t len)
{
	const uint8_t *end = memmem(buf, len, "\r\n\r\n", 4);

	return end ? (size_t)(end - buf) + 4 : 0;
}

enum answer answer_http(const uint8_t *buf, size_t len, unsigned int *status)
{
	size_t at = 0;

	for (;;) {
		enum answer a = status_line(buf + at, len - at, status);
		size_t head;

		if (a == ANSWER_GOOD && (*status >= 200 || *status == 101))
			return a;
		head = a == ANSWER_GOOD ? head_length(buf + at, len - at) : 0;
		if (!head)
			return a == ANSWER_BAD || len >= ANSWER_MAX ? ANSWER_BAD : ANSWER_MORE;
		at += head;
	}
}

/* ---- TLS -------------------------------------------------------------------------------- */

enum { RECORD_ALERT = 21, RECORD_HANDSHAKE = 22, SERVER_HELLO = 2 };

/* Type, version, length; then the handshake message's type, or the alert's level and description.
 */
enum answer answer_tls(const uint8_t *buf, size_t len, int *alert)
{
	*alert = -1;
	if (len > 0 && buf[0] != RECORD_HANDSHAKE && buf[0] != RECORD_ALERT)
		return ANSWER_BAD;
	if (len > 1 && buf[1] != 3)
		return ANSWER_BAD;
	if (len > 4 && (buf[3] << 8 | buf[4]) == 0)
		return ANSWER_BAD;
	if (len < 6)
		return ANSWER_MORE;
	if (buf[0] == RECORD_HANDSHAKE)
		return buf[5] == SERVER_HELLO ? ANSWER_GOOD : ANSWER_BAD;
	if (len < 7)
		return ANSWER_MORE;
	*alert = buf[6];
	return ANSWER_BAD;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parsing heads of HTTP/1.x requests and responses (RFC 9112), zero-copy and strict: what two
 * implementations could frame in two ways is an error here, not a guess. See enum http_error.
 */
#pragma once

#include "head.h"

/*
 * Parses the head at the front of buf[len]. Returns
 *   > 0  the length of the head with its empty line, and of the empty lines before a request;
 *     0  it needs more. With *scan the next call goes on with the same bytes and some more; ret and
 *        fields mean nothing yet and need not be kept;
 *   < 0  -enum http_error, as early as it is certain: a line is judged when it is complete, a
 *        control byte at once. Which error, and with which byte, does not depend on the pieces in
 *        which the bytes came.
 * Each byte is looked at twice at most. head_max is at most INT_MAX.
 */
int http_request_parse(const char *buf, size_t len, struct http_scan *scan,
		       const struct http_limits *limits, struct http_field *fields,
		       struct http_head *ret);
int http_response_parse(const char *buf, size_t len, struct http_scan *scan,
			const struct http_limits *limits, struct http_field *fields,
			struct http_head *ret);

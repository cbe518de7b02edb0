/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why an HTTP/1.x message is refused: names for the log and the counters, statuses for the peer. */
#pragma once

enum http_error {
	HTTP_OK,
	/* the first line */
	HTTP_BAD_METHOD,
	HTTP_BAD_TARGET,
	HTTP_URI_TOO_LONG,
	HTTP_BAD_VERSION,         /* not a version, or none (as in HTTP/0.9) */
	HTTP_UNSUPPORTED_VERSION, /* one that is neither 1.0 nor 1.1 */
	HTTP_BAD_STATUS,
	HTTP_BAD_REASON,
	/* lines */
	HTTP_BARE_CR,
	HTTP_BARE_LF,
	HTTP_OBS_FOLD, /* a line that begins with a blank, the first field too */
	HTTP_SPACE_BEFORE_COLON,
	HTTP_BAD_NAME,
	HTTP_BAD_VALUE,
	HTTP_HEAD_TOO_LARGE,
	HTTP_TOO_MANY_FIELDS,
	/* fields */
	HTTP_NO_HOST,
	HTTP_TWO_HOSTS,
	HTTP_BAD_HOST,
	HTTP_TWO_LENGTHS,
	HTTP_BAD_LENGTH,
	HTTP_LENGTH_AND_CHUNKED,
	HTTP_BAD_TRANSFER_ENCODING,     /* no list of codings, or `chunked` before its end */
	HTTP_UNKNOWN_TRANSFER_ENCODING, /* another coding than `chunked` */
	HTTP_CHUNKED_IN_1_0,
	HTTP_BAD_CONNECTION,   /* more options than anybody needs */
	HTTP_BAD_MAX_FORWARDS, /* of OPTIONS and TRACE: no number, or two */
	/* chunked bodies */
	HTTP_BAD_CHUNK_SIZE,
	HTTP_BAD_CHUNK_EXTENSION,
	HTTP_CHUNK_LINE_TOO_LONG,
	HTTP_BAD_CHUNK_END, /* a chunk's data is not followed by CR LF */
	HTTP_BAD_TRAILER,   /* a trailer field that frames or routes */
	HTTP_TRAILERS_TOO_LARGE,
	/* exchanges */
	HTTP_TOO_MANY_INTERIM, /* responses of 1xx, and never the final one */
	HTTP_UNASKED,          /* something before the server's TCP had any of the request */
	_HTTP_ERROR_MAX,
};

/* "two_lengths" */
extern const char *const http_error_str[_HTTP_ERROR_MAX];

/* The status that a request with this error is answered with: 400, 414, 431, 501 or 505. */
int http_error_status(enum http_error error);

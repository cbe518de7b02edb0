/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The framing of a chunked body (RFC 9112, 7.1): strict, incremental, bounded. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "head.h"

enum chunk_what {
	CHUNK_MORE,    /* all of the input that can be used is; more is needed */
	CHUNK_HEAD,    /* a chunk begins: p->left bytes of data, more than 0 */
	CHUNK_DATA,    /* the span is data; p->left is what is still to come of the chunk */
	CHUNK_TRAILER, /* the span is a trailer field line, without its line end */
	CHUNK_END,     /* the body is complete */
	CHUNK_ERROR,   /* it is not valid */
};

/* Bounds of a line with the size and extensions, and of all trailer fields together. */
#define CHUNK_LINE_MAX    4096
#define CHUNK_TRAILER_MAX 8192

/* Zeroed at the beginning of a body. */
struct chunk_parser {
	uint64_t left;
	uint32_t line;     /* bytes of the present line */
	uint32_t trailers; /* bytes of all trailer lines */
	uint8_t state;
	uint8_t digits;
};

/*
 * The next thing in the input, of which *used bytes are dealt with then. Spans are relative to
 * `in`. A trailer line is not used before all of it is there.
 */
enum chunk_what chunk_next(struct chunk_parser *p, const char *in, size_t len, size_t *used,
			   struct http_slice *span);
/* `n` bytes of data, at most p->left, were moved by somebody else. */
void chunk_skip(struct chunk_parser *p, uint64_t n);

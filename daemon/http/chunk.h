/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The framing of chunked bodies (RFC 9112 7.1), incremental and strict: one event a call. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "head.h"

#define CHUNK_LINE_MAX    4096 /* a chunk's size line with its extensions and CR LF */
#define CHUNK_TRAILER_MAX 8192 /* all trailer fields with their CR LF and the last empty line */

/* All zero before a body. */
struct chunk_parser {
	uint8_t state;
	uint8_t digits;         /* of the chunk size so far */
	enum http_error error;  /* after CHUNK_ERROR */
	uint32_t line;          /* bytes of the present line that were looked at */
	uint32_t trailer_bytes; /* of the trailer lines that are complete */
	uint64_t left;          /* data bytes of the present chunk that are still to come */
};

enum chunk_what {
	CHUNK_MORE,    /* needs more input: what was not consumed, and something behind it */
	CHUNK_HEAD,    /* a chunk of p->left > 0 bytes begins behind what was consumed */
	CHUNK_DATA,    /* *span is data of the chunk, and was taken off p->left */
	CHUNK_TRAILER, /* *span is one trailer field line without its CR LF: see http_field_parse()
			*/
	CHUNK_END,     /* the body is complete; what follows was not consumed */
	CHUNK_ERROR,   /* p->error says why; nothing more can be parsed */
};

/*
 * Looks at in[len], which follows what was consumed before. The first *consumed bytes are done
 * with; *span lies in them and is set with CHUNK_DATA and CHUNK_TRAILER. With CHUNK_MORE everything
 * was consumed, except in the trailers: an incomplete field line stays (less than CHUNK_TRAILER_MAX
 * bytes) and comes again with its rest. Chunk extensions are checked and consumed.
 */
enum chunk_what chunk_next(struct chunk_parser *p, const char *in, size_t len, size_t *consumed,
			   struct http_slice *span);

/* n bytes of the chunk's data were moved by somebody else; n <= p->left. */
void chunk_skip(struct chunk_parser *p, uint64_t n);

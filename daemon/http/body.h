/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The body of a message on its way: how much of it is still to come, and what of the source's bytes
 * goes to the target. No socket is touched here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "chunk.h"
#include "trailer.h"

enum http_body_kind {
	BODY_NONE,
	BODY_LENGTH,
	BODY_CHUNKED,
	BODY_UNTIL_CLOSE,
};

struct http_body {
	enum http_body_kind kind;
	bool done;
	bool plain;   /* chunked, but sent on without the framing: for a client of HTTP/1.0 */
	bool owes;    /* chunked: the line end after the data of the present chunk is not sent */
	bool last;    /* chunked: the last chunk's line is sent */
	bool in_data; /* chunked: data of the present chunk is to come */
	enum http_error error;                /* it is no valid body, and nothing more is taken */
	uint64_t left;                        /* BODY_LENGTH: bytes to come */
	uint64_t moved;                       /* payload so far */
	const struct trailer_rules *trailers; /* chunked: set after body_begin(); NULL: none */
	struct chunk_parser chunk;
};

/*
 * What goes to the target: pieces of the input, and, one after the other in a buffer of the
 * caller's, lines that were written for it and pieces that are too short to be worth one of their
 * own. So a body of tiny chunks is one write for each piece of input, and not one for each few
 * chunks.
 */
#define BODY_SPANS 64
struct body_spans {
	struct iovec iov[BODY_SPANS];
	int n;
	char *gathered;
	size_t at, size; /* of it: written, in all */
};

/* What body_settle() needs of a buffer. */
#define BODY_SETTLE_ROOM 8

/*
 * Whether a body follows this response to that request (its length may be 0): not after HEAD, a
 * CONNECT that succeeded, 1xx, 204 and 304. Where it does and has neither a length nor chunks, it
 * ends with the stream.
 */
bool http_response_has_body(const struct http_head *head, enum http_method request);

void body_begin(struct http_body *b, enum http_body_kind kind, uint64_t length);

/* Empty ones, with that buffer, which lasts as long as they do. */
void body_spans_init(struct body_spans *s, char *buffer, size_t size);

/*
 * Takes as much of the input as there is room for spans. Returns how many bytes of it were used;
 * what was good before an error (b->error) is used as well, so that what a peer gets of such a body
 * does not depend on the pieces in which it came. The spans point into `in` and their buffer.
 */
size_t body_take(struct http_body *b, const char *in, size_t len, struct body_spans *spans);

/* Bytes of payload that will certainly come next, without any framing between them: what the kernel
 * may move on its own. UINT64_MAX: everything. */
uint64_t body_run(const struct http_body *b);
/* The kernel has moved `n` bytes of that run. */
void body_skip(struct http_body *b, uint64_t n);
/* Framing that is due without further input, after body_skip(). */
void body_settle(struct http_body *b, struct body_spans *spans);

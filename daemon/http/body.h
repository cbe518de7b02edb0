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

enum http_body_kind {
	BODY_NONE,
	BODY_LENGTH,
	BODY_CHUNKED,
	BODY_UNTIL_CLOSE,
};

struct http_body {
	uint8_t kind;
	bool done;
	bool plain;     /* chunked, but sent on without the framing: for a client of HTTP/1.0 */
	bool owes;      /* chunked: the line end after the data of the present chunk is not sent */
	bool last;      /* chunked: the last chunk's line is sent */
	bool in_data;   /* chunked: data of the present chunk is to come */
	uint64_t left;  /* BODY_LENGTH: bytes to come */
	uint64_t moved; /* payload so far */
	struct chunk_parser chunk;
};

/* What goes to the target: pieces of the input, and of lines that were written for it. */
#define BODY_SPANS 64
struct body_spans {
	struct iovec iov[BODY_SPANS];
	int n;
	size_t line_at;
	char lines[BODY_SPANS * 20];
};

void body_begin(struct http_body *b, enum http_body_kind kind, uint64_t length);

/*
 * Takes as much of the input as there is room for spans. Returns how many bytes of it were used, or
 * -EPROTO: it is no valid chunked body. The spans point into `in` and `spans`.
 */
ssize_t body_take(struct http_body *b, const char *in, size_t len, struct body_spans *spans);

/* Bytes of payload that will certainly come next, without any framing between them: what the kernel
 * may move on its own. UINT64_MAX: everything. */
uint64_t body_run(const struct http_body *b);
/* The kernel has moved `n` bytes of that run. */
void body_skip(struct http_body *b, uint64_t n);
/* Framing that is due without further input, after body_skip(). */
void body_settle(struct http_body *b, struct body_spans *spans);

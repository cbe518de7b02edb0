// SPDX-License-Identifier: GPL-2.0-or-later
#include "body.h"

#include <string.h>

#include "error.h"

#define EVENT_SPANS 4    /* the most that one event of the parser adds */
#define EVENT_LINES 32   /* bytes of the lines among them */
#define SHORT       4096 /* of a piece that costs less to copy than to write on its own */

void body_begin(struct http_body *b, enum http_body_kind kind, uint64_t length)
{
	*b = (struct http_body){.kind = kind, .left = length};
	b->done = kind == BODY_NONE || (kind == BODY_LENGTH && length == 0);
}

void body_spans_init(struct body_spans *s, char *buffer, size_t size)
{
	s->n = 0;
	s->gathered = buffer;
	s->at = 0;
	s->size = size;
}

static void add(struct body_spans *s, const char *data, size_t len)
{
	struct iovec *last = s->n ? &s->iov[s->n - 1] : NULL;

	if (!len)
		return;
	if (last && (const char *)last->iov_base + last->iov_len == data) {
		last->iov_len += len;
		return;
	}
	s->iov[s->n++] = (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = len};
}

/* A copy, next to what was copied before. */
static void gather(struct body_spans *s, const char *data, size_t len)
{
	char *at = s->gathered + s->at;

	memcpy(at, data, len);
	s->at += len;
	add(s, at, len);
}

/* A piece of the input. */
static void add_piece(struct body_spans *s, const char *data, size_t len)
{
	if (len <= SHORT)
		gather(s, data, len);
	else
		add(s, data, len);
}

static bool has_room(const struct body_spans *s)
{
	return s->n + EVENT_SPANS <= BODY_SPANS && s->size - s->at >= SHORT + EVENT_LINES;
}

static void add_size(struct body_spans *s, uint64_t size)
{
	static const char digits[] = "0123456789abcdef";
	char line[18];
	size_t at = sizeof(line);

	line[--at] = '\n';
	line[--at] = '\r';
	do
		line[--at] = digits[size & 0xf];
	while (size >>= 4);
	gather(s, line + at, sizeof(line) - at);
}

/* The line end of the chunk whose data is complete. */
static void pay(struct http_body *b, struct body_spans *s)
{
	if (b->owes && !b->plain)
		gather(s, "\r\n", 2);
	b->owes = false;
}

static void last_chunk(struct http_body *b, struct body_spans *s)
{
	pay(b, s);
	if (!b->last && !b->plain)
		gather(s, "0\r\n", 3);
	b->last = true;
}

static void one_event(struct http_body *b, enum chunk_what what, const char *in,
		      const struct http_slice *span, struct body_spans *s)
{
	switch (what) {
	case CHUNK_HEAD:
		pay(b, s);
		if (!b->plain)
			add_size(s, b->chunk.left);
		b->owes = b->in_data = true;
		break;
	case CHUNK_DATA:
		add_piece(s, in + span->at, span->len);
		b->moved += span->len;
		b->in_data = b->chunk.left > 0;
		if (!b->in_data)
			pay(b, s);
		break;
	case CHUNK_TRAILER:
		last_chunk(b, s);
		if (!b->plain && trailer_may_pass(b->trailers, in + span->at, span->len)) {
			add_piece(s, in + span->at, span->len);
			gather(s, "\r\n", 2);
		}
		break;
	case CHUNK_END:
		last_chunk(b, s);
		if (!b->plain)
			gather(s, "\r\n", 2);
		b->done = true;
		break;
	default:
		break;
	}
}

static size_t take_chunked(struct http_body *b, const char *in, size_t len, struct body_spans *s)
{
	size_t used = 0;

	while (!b->done && has_room(s)) {
		struct http_slice span = {0};
		size_t n = 0;
		enum chunk_what what = chunk_next(&b->chunk, in + used, len - used, &n, &span);

		if (what == CHUNK_ERROR) {
			b->error = b->chunk.error;
			break;
		}
		one_event(b, what, in + used, &span, s);
		used += n;
		if (what == CHUNK_MORE)
			break;
	}
	return used;
}

size_t body_take(struct http_body *b, const char *in, size_t len, struct body_spans *spans)
{
	size_t n = len;

	if (b->done || b->error)
		return 0;
	if (b->kind == BODY_CHUNKED)
		return take_chunked(b, in, len, spans);
	if (b->kind == BODY_LENGTH && n > b->left)
		n = (size_t)b->left;
	/* Behind a head it is worth a copy, but not alone. */
	if (spans->n && has_room(spans))
		add_piece(spans, in, n);
	else
		add(spans, in, n);
	b->moved += n;
	if (b->kind == BODY_LENGTH) {
		b->left -= n;
		b->done = b->left == 0;
	}
	return n;
}

uint64_t body_run(const struct http_body *b)
{
	if (b->done)
		return 0;
	switch (b->kind) {
	case BODY_LENGTH:
		return b->left;
	case BODY_CHUNKED:
		return b->in_data ? b->chunk.left : 0;
	case BODY_UNTIL_CLOSE:
		return UINT64_MAX;
	default:
		return 0;
	}
}

void body_skip(struct http_body *b, uint64_t n)
{
	b->moved += n;
	if (b->kind == BODY_LENGTH) {
		b->left -= n;
		b->done = b->left == 0;
	} else if (b->kind == BODY_CHUNKED && n) {
		chunk_skip(&b->chunk, n);
		b->in_data = b->chunk.left > 0;
	}
}

void body_settle(struct http_body *b, struct body_spans *spans)
{
	if (b->kind == BODY_CHUNKED && b->owes && !b->in_data)
		pay(b, spans);
}

bool http_response_has_body(const struct http_head *head, enum http_method request)
{
	if (request == METHOD_HEAD || head->status < 200)
		return false;
	if (request == METHOD_CONNECT && head->status < 300)
		return false;
	return head->status != 204 && head->status != 304;
}

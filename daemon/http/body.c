// SPDX-License-Identifier: GPL-2.0-or-later
#include "body.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MIN_SPANS 4 /* the most that one event of the parser adds */

void body_begin(struct http_body *b, enum http_body_kind kind, uint64_t length)
{
	*b = (struct http_body){.kind = (uint8_t)kind, .left = length};
	b->done = kind == BODY_NONE || (kind == BODY_LENGTH && length == 0);
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

static void add_line(struct body_spans *s, const char *text, size_t len)
{
	char *at = s->lines + s->line_at;

	memcpy(at, text, len);
	s->line_at += len;
	add(s, at, len);
}

/* The line end of the chunk whose data is complete. */
static void pay(struct http_body *b, struct body_spans *s)
{
	if (b->owes && !b->plain)
		add_line(s, "\r\n", 2);
	b->owes = false;
}

/* Trailer fields that would say something about the message's framing or routing. */
static bool is_forbidden(const char *line, size_t len)
{
	static const char *const names[] = {"content-length",
					    "transfer-encoding",
					    "host",
					    "connection",
					    "trailer",
					    "te",
					    "content-encoding",
					    "content-type",
					    "content-range",
					    "authorization",
					    "set-cookie",
					    "cache-control",
					    "max-forwards",
					    "expect",
					    "upgrade"};
	const char *colon = memchr(line, ':', len);
	size_t n = colon ? (size_t)(colon - line) : len;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == n && strncasecmp(line, names[i], n) == 0)
			return true;
	return false;
}

static void last_chunk(struct http_body *b, struct body_spans *s)
{
	pay(b, s);
	if (!b->last && !b->plain)
		add_line(s, "0\r\n", 3);
	b->last = true;
}

static void one_event(struct http_body *b, enum chunk_what what, const char *in,
		      const struct http_slice *span, struct body_spans *s)
{
	char line[20];

	switch (what) {
	case CHUNK_HEAD:
		pay(b, s);
		if (!b->plain)
			add_line(s, line,
				 (size_t)snprintf(line, sizeof(line), "%llx\r\n",
						  (unsigned long long)b->chunk.left));
		b->owes = b->in_data = true;
		break;
	case CHUNK_DATA:
		add(s, in + span->at, span->len);
		b->moved += span->len;
		b->in_data = b->chunk.left > 0;
		if (!b->in_data)
			pay(b, s);
		break;
	case CHUNK_TRAILER:
		last_chunk(b, s);
		if (!b->plain && !is_forbidden(in + span->at, span->len)) {
			add(s, in + span->at, span->len);
			add_line(s, "\r\n", 2);
		}
		break;
	case CHUNK_END:
		last_chunk(b, s);
		if (!b->plain)
			add_line(s, "\r\n", 2);
		b->done = true;
		break;
	default:
		break;
	}
}

static ssize_t take_chunked(struct http_body *b, const char *in, size_t len, struct body_spans *s)
{
	size_t used = 0;

	while (!b->done && s->n + MIN_SPANS <= BODY_SPANS) {
		struct http_slice span = {0};
		size_t n = 0;
		enum chunk_what what = chunk_next(&b->chunk, in + used, len - used, &n, &span);

		if (what == CHUNK_ERROR)
			return -EPROTO;
		one_event(b, what, in + used, &span, s);
		used += n;
		if (what == CHUNK_MORE)
			break;
	}
	return (ssize_t)used;
}

ssize_t body_take(struct http_body *b, const char *in, size_t len, struct body_spans *spans)
{
	size_t n = len;

	if (b->done)
		return 0;
	if (b->kind == BODY_CHUNKED)
		return take_chunked(b, in, len, spans);
	if (b->kind == BODY_LENGTH && n > b->left)
		n = (size_t)b->left;
	add(spans, in, n);
	b->moved += n;
	if (b->kind == BODY_LENGTH) {
		b->left -= n;
		b->done = b->left == 0;
	}
	return (ssize_t)n;
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

// SPDX-License-Identifier: GPL-2.0-or-later
#include "chunk.h"

#include <string.h>

#include "../util.h"

enum state {
	SIZE,      /* hexadecimal digits */
	BLANK,     /* between the size and an extension */
	EXTENSION, /* up to the line's end */
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER, /* at the beginning of a line */
	DONE,
	BROKEN,
};

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum chunk_what broken(struct chunk_parser *p)
{
	p->state = BROKEN;
	return CHUNK_ERROR;
}

/* One byte of the line with the size. 0: go on; else -1. */
static int size_byte(struct chunk_parser *p, char c)
{
	int digit = digit_of(c);

	if (++p->line > CHUNK_LINE_MAX)
		return -1;
	if (p->state == SIZE && digit >= 0) {
		if (++p->digits > 15)
			return -1;
		p->left = p->left << 4 | (uint64_t)digit;
		return 0;
	}
	if (!p->digits)
		return -1;
	if (c == '\r') {
		/* Blanks lead to an extension, or are an error. */
		if (p->state == BLANK)
			return -1;
		p->state = SIZE_LF;
		return 0;
	}
	if (p->state != EXTENSION) {
		if (c != ';' && c != ' ' && c != '\t')
			return -1;
		p->state = c == ';' ? EXTENSION : BLANK;
		return 0;
	}
	return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f ? -1 : 0;
}

static void begin_size(struct chunk_parser *p)
{
	p->state = SIZE;
	p->line = 0;
	p->digits = 0;
	p->left = 0;
}

static enum chunk_what read_size(struct chunk_parser *p, const char *in, size_t len, size_t *used)
{
	while (*used < len) {
		char c = in[(*used)++];

		if (p->state != SIZE_LF) {
			if (size_byte(p, c) < 0)
				return broken(p);
			continue;
		}
		if (c != '\n')
			return broken(p);
		p->state = p->left ? DATA : TRAILER;
		if (p->left)
			return CHUNK_HEAD;
		break;
	}
	return CHUNK_MORE;
}

static enum chunk_what read_data(struct chunk_parser *p, size_t len, size_t *used,
				 struct http_slice *span)
{
	size_t n = (size_t)MIN((uint64_t)(len - *used), p->left);

	if (!n)
		return CHUNK_MORE;
	*span = (struct http_slice){(uint32_t)*used, (uint32_t)n};
	*used += n;
	chunk_skip(p, n);
	return CHUNK_DATA;
}

/* A field line, as strict as those of a head. */
static bool is_field(const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);

	if (!colon || colon == line)
		return false;
	for (const char *c = line; c < colon; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f ||
		    strchr("\"(),/:;<=>?@[\\]{}", *c))
			return false;
	for (const char *c = colon + 1; c < line + len; c++)
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
			return false;
	return true;
}

static enum chunk_what read_trailer(struct chunk_parser *p, const char *in, size_t len,
				    size_t *used, struct http_slice *span)
{
	const char *line = in + *used, *lf = memchr(line, '\n', len - *used);
	size_t n = lf ? (size_t)(lf - line) : len - *used;

	if (p->trailers + n > CHUNK_TRAILER_MAX)
		return broken(p);
	if (!lf)
		return CHUNK_MORE;
	if (n == 0 || line[n - 1] != '\r')
		return broken(p);
	*used += n + 1;
	p->trailers += (uint32_t)n + 1;
	if (n == 1) {
		p->state = DONE;
		return CHUNK_END;
	}
	if (!is_field(line, n - 1))
		return broken(p);
	*span = (struct http_slice){(uint32_t)(line - in), (uint32_t)(n - 1)};
	return CHUNK_TRAILER;
}

/* The line end behind a chunk's data. */
static enum chunk_what read_data_end(struct chunk_parser *p, const char *in, size_t len,
				     size_t *used)
{
	while (*used < len && p->state != SIZE) {
		char c = in[(*used)++];

		if (c != (p->state == DATA_CR ? '\r' : '\n'))
			return broken(p);
		if (p->state == DATA_CR)
			p->state = DATA_LF;
		else
			begin_size(p);
	}
	return CHUNK_MORE;
}

enum chunk_what chunk_next(struct chunk_parser *p, const char *in, size_t len, size_t *used,
			   struct http_slice *span)
{
	enum chunk_what what = CHUNK_MORE;

	*used = 0;
	do {
		switch (p->state) {
		case SIZE:
		case BLANK:
		case EXTENSION:
		case SIZE_LF:
			what = read_size(p, in, len, used);
			break;
		case DATA:
			return read_data(p, len, used, span);
		case DATA_CR:
		case DATA_LF:
			what = read_data_end(p, in, len, used);
			break;
		case TRAILER:
			return read_trailer(p, in, len, used, span);
		case DONE:
			return CHUNK_END;
		default:
			return CHUNK_ERROR;
		}
	} while (what == CHUNK_MORE && *used < len);
	/* The last line's end may be the last byte there is: the trailer is looked at next time. */
	return what;
}

void chunk_skip(struct chunk_parser *p, uint64_t n)
{
	p->left -= n;
	if (!p->left)
		p->state = DATA_CR;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "chunk.h"

#include "field.h"
#include "syntax.h"

/* The states of a size line are what was read last. */
enum {
	SIZE,         /* its digits, or nothing yet */
	SIZE_BLANK,   /* blanks behind it: a ';' must follow */
	EXT,          /* the ';' of an extension */
	EXT_NAME,     /* its name */
	NAME_BLANK,   /* blanks behind that: a '=' or ';' must follow */
	EXT_EQUALS,   /* its '=' */
	EXT_TOKEN,    /* its value */
	EXT_QUOTED,   /* its value, in quotes */
	EXT_ESCAPE,   /* a '\' in the quotes */
	EXT_UNQUOTED, /* the end of the quotes */
	VALUE_BLANK,  /* blanks behind a value: a ';' must follow */
	SIZE_CR,
	_SIZE_LINE,
	/* The others are what comes next. */
	DATA = _SIZE_LINE,
	DATA_CR,
	DATA_LF,
	TRAILERS,
	END,
	FAILED,
};

static enum chunk_what fail(struct chunk_parser *p, enum http_error error)
{
	p->error = error;
	p->state = FAILED;
	return CHUNK_ERROR;
}

/* ---- the size line ---- */

static uint8_t hex_value(char c)
{
	return char_is(c, CHAR_DIGIT) ? (uint8_t)(c - '0') : (uint8_t)((c | 0x20) - 'a' + 10);
}

/* A chunk is at most INT64_MAX bytes long. */
static enum http_error size_digit(struct chunk_parser *p, char c)
{
	if (p->digits == 16 || p->left > (uint64_t)INT64_MAX >> 4)
		return HTTP_BAD_CHUNK_SIZE;
	p->digits++;
	p->left = p->left << 4 | hex_value(c);
	return HTTP_OK;
}

/* The state after c where the size has ended; FAILED if c cannot stand there. */
static uint8_t after_size(char c)
{
	switch (c) {
	case ';':
		return EXT;
	case '\r':
		return SIZE_CR;
	case ' ':
	case '\t':
		return SIZE_BLANK;
	default:
		return FAILED;
	}
}

/* The state after c behind a value. */
static uint8_t after_value(char c)
{
	uint8_t next = after_size(c);

	return next == SIZE_BLANK ? VALUE_BLANK : next;
}

/* chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ) */
static uint8_t extension_next(uint8_t state, char c)
{
	bool blank = char_is_blank(c);

	switch (state) {
	case SIZE_BLANK:
	case VALUE_BLANK:
		return blank ? state : c == ';' ? EXT : FAILED;
	case EXT:
		return blank ? EXT : char_is(c, CHAR_TOKEN) ? EXT_NAME : FAILED;
	case EXT_NAME:
		if (char_is(c, CHAR_TOKEN))
			return EXT_NAME;
		if (c == '=')
			return EXT_EQUALS;
		return blank ? NAME_BLANK : after_size(c);
	case NAME_BLANK:
		return blank ? NAME_BLANK : c == '=' ? EXT_EQUALS : c == ';' ? EXT : FAILED;
	case EXT_EQUALS:
		if (c == '"')
			return EXT_QUOTED;
		return blank ? EXT_EQUALS : char_is(c, CHAR_TOKEN) ? EXT_TOKEN : FAILED;
	case EXT_TOKEN:
		return char_is(c, CHAR_TOKEN) ? EXT_TOKEN : after_value(c);
	case EXT_QUOTED:
		if (char_is_control(c))
			return FAILED;
		return c == '"' ? EXT_UNQUOTED : c == '\\' ? EXT_ESCAPE : EXT_QUOTED;
	case EXT_ESCAPE:
		return char_is_control(c) ? FAILED : EXT_QUOTED;
	case EXT_UNQUOTED:
		return after_value(c);
	default:
		return FAILED;
	}
}

/* Takes one byte of the line. */
static enum http_error size_line_byte(struct chunk_parser *p, char c)
{
	if (++p->line > CHUNK_LINE_MAX)
		return HTTP_CHUNK_LINE_TOO_LONG;
	if (p->state == SIZE && char_is(c, CHAR_HEX))
		return size_digit(p, c);
	/* In a quoted string too: no line ends there. */
	if (c == '\n' && p->state != SIZE_CR)
		return HTTP_BARE_LF;
	if (p->state == SIZE_CR)
		return c == '\n' ? HTTP_OK : HTTP_BARE_CR;

	if (p->state == SIZE) {
		p->state = p->digits ? after_size(c) : FAILED;
		return p->state == FAILED ? HTTP_BAD_CHUNK_SIZE : HTTP_OK;
	}
	p->state = extension_next(p->state, c);
	return p->state == FAILED ? HTTP_BAD_CHUNK_EXTENSION : HTTP_OK;
}

static enum chunk_what size_line(struct chunk_parser *p, const char *in, size_t len, size_t *at)
{
	enum http_error error;

	while (*at < len) {
		char c = in[(*at)++];

		error = size_line_byte(p, c);
		if (error)
			return fail(p, error);
		if (c == '\n') {
			p->line = 0;
			p->digits = 0;
			p->state = p->left ? DATA : TRAILERS;
			return p->left ? CHUNK_HEAD : CHUNK_MORE;
		}
	}
	return CHUNK_MORE;
}

/* ---- data ---- */

static enum chunk_what data(struct chunk_parser *p, size_t len, size_t *at, struct http_slice *span)
{
	uint64_t n = len - *at;

	if (n == 0)
		return CHUNK_MORE;
	if (n > p->left)
		n = p->left;
	if (n > UINT32_MAX)
		n = UINT32_MAX;
	*span = (struct http_slice){(uint32_t)*at, (uint32_t)n};
	*at += n;
	chunk_skip(p, n);
	return CHUNK_DATA;
}

void chunk_skip(struct chunk_parser *p, uint64_t n)
{
	p->left -= n < p->left ? n : p->left;
	if (p->left == 0 && p->state == DATA)
		p->state = DATA_CR;
}

/* The CR LF behind the data. */
static enum chunk_what data_end(struct chunk_parser *p, const char *in, size_t len, size_t *at)
{
	while (*at < len && (p->state == DATA_CR || p->state == DATA_LF)) {
		char c = in[(*at)++];

		if (c != (p->state == DATA_CR ? '\r' : '\n'))
			return fail(p, HTTP_BAD_CHUNK_END);
		p->state = p->state == DATA_CR ? DATA_LF : SIZE;
	}
	return CHUNK_MORE;
}

/* ---- trailers ---- */

/* What frames or routes a message is known before its body, or not at all: RFC 9110 6.5.1. */
static bool may_trail(uint8_t id)
{
	return id != FIELD_CONTENT_LENGTH && id != FIELD_TRANSFER_ENCODING && id != FIELD_HOST;
}

static enum chunk_what trailer(struct chunk_parser *p, const char *in, size_t len, size_t *at,
			       struct http_slice *span)
{
	size_t room = CHUNK_TRAILER_MAX - p->trailer_bytes, line_len;
	const char *line = in + *at;
	struct http_field f;
	size_t stop;
	int r;

	len -= *at;
	if (len > room)
		len = room;
	stop = line_scan(line, p->line < len ? p->line : len, len);
	if (stop == len || (line[stop] == '\r' && stop + 1 == len)) {
		p->line = (uint32_t)stop;
		return len == room ? fail(p, HTTP_TRAILERS_TOO_LARGE) : CHUNK_MORE;
	}
	if (line[stop] == '\n')
		return fail(p, HTTP_BARE_LF);
	if (line[stop] == '\r' && line[stop + 1] != '\n')
		return fail(p, HTTP_BARE_CR);
	if (line[stop] != '\r')
		return fail(p, memchr(line, ':', stop) ? HTTP_BAD_VALUE : HTTP_BAD_NAME);

	line_len = stop;
	*span = (struct http_slice){(uint32_t)*at, (uint32_t)line_len};
	p->line = 0;
	p->trailer_bytes += (uint32_t)line_len + 2;
	*at += line_len + 2;
	if (line_len == 0) {
		p->state = END;
		return CHUNK_END;
	}
	r = http_field_parse(line, line_len, &f);
	if (r < 0)
		return fail(p, -r);
	return may_trail(f.id) ? CHUNK_TRAILER : fail(p, HTTP_BAD_TRAILER);
}

/* ---- events ---- */

static enum chunk_what step(struct chunk_parser *p, const char *in, size_t len, size_t *at,
			    struct http_slice *span)
{
	switch (p->state) {
	case DATA:
		return data(p, len, at, span);
	case DATA_CR:
	case DATA_LF:
		return data_end(p, in, len, at);
	case TRAILERS:
		return trailer(p, in, len, at, span);
	case END:
		return CHUNK_END;
	case FAILED:
		return CHUNK_ERROR;
	default:
		return size_line(p, in, len, at);
	}
}

enum chunk_what chunk_next(struct chunk_parser *p, const char *in, size_t len, size_t *consumed,
			   struct http_slice *span)
{
	enum chunk_what what;
	uint8_t state;

	*consumed = 0;
	*span = (struct http_slice){0, 0};
	/* A step that has no event to tell goes on where it changed the state, as behind data. */
	do {
		state = p->state;
		what = step(p, in, len, consumed, span);
	} while (what == CHUNK_MORE && p->state != state);
	return what;
}

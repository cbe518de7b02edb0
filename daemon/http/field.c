/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "field.h"

#include "syntax.h"

#define KEY(len, first) ((size_t)(len) << 8 | (first))

/* One comparison of a whole name at most: no two known names share length and first letter. */
static void name_field(const char *name, size_t len, struct http_field *f)
{
	enum http_field_id id;
	const char *known;

	f->id = f->alias = FIELD_OTHER;
	f->named = false;
	switch (KEY(len, (uint8_t)name[0] | 0x20)) {
#define KNOWN(text, first, field)             \
	case KEY(sizeof(text) - 1, first):    \
		known = (text), id = (field); \
		break
		KNOWN("host", 'h', FIELD_HOST);
		KNOWN("content-length", 'c', FIELD_CONTENT_LENGTH);
		KNOWN("transfer-encoding", 't', FIELD_TRANSFER_ENCODING);
		KNOWN("connection", 'c', FIELD_CONNECTION);
		KNOWN("keep-alive", 'k', FIELD_KEEP_ALIVE);
		KNOWN("proxy-connection", 'p', FIELD_PROXY_CONNECTION);
		KNOWN("proxy", 'p', FIELD_PROXY);
		KNOWN("upgrade", 'u', FIELD_UPGRADE);
		KNOWN("te", 't', FIELD_TE);
		KNOWN("trailer", 't', FIELD_TRAILER);
		KNOWN("expect", 'e', FIELD_EXPECT);
		KNOWN("max-forwards", 'm', FIELD_MAX_FORWARDS);
		KNOWN("x-forwarded-for", 'x', FIELD_X_FORWARDED_FOR);
		KNOWN("x-forwarded-proto", 'x', FIELD_X_FORWARDED_PROTO);
		KNOWN("forwarded", 'f', FIELD_FORWARDED);
		KNOWN("via", 'v', FIELD_VIA);
		KNOWN("date", 'd', FIELD_DATE);
		KNOWN("traceparent", 't', FIELD_TRACEPARENT);
		KNOWN("tracestate", 't', FIELD_TRACESTATE);
		KNOWN("http2-settings", 'h', FIELD_HTTP2_SETTINGS);
#undef KNOWN
	default:
		return;
	}
	if (token_is(name, len, known))
		f->id = id;
	else if (names_alike(name, known, len))
		f->alias = id;
}

/* Why there is no ':' right after line[0, at), at <= len. */
static int name_error(const char *line, size_t at, size_t len)
{
	size_t i = at;

	if (at == 0)
		return len > 0 && char_is_blank(line[0]) ? -HTTP_OBS_FOLD : -HTTP_BAD_NAME;
	while (i < len && char_is_blank(line[i]))
		i++;
	return i > at && i < len && line[i] == ':' ? -HTTP_SPACE_BEFORE_COLON : -HTTP_BAD_NAME;
}

int http_field_parse(const char *line, size_t len, struct http_field *ret)
{
	size_t at = 0, end = len;
	uint8_t seen = 0;

	for (; at < len && char_is(line[at], CHAR_TOKEN); at++)
		seen |= http_chars[(uint8_t)line[at]];
	if (at == 0 || at == len || line[at] != ':')
		return name_error(line, at, len);

	ret->name = (struct http_slice){0, (uint32_t)at};
	ret->underscore = (seen & CHAR_UNDERSCORE) != 0;
	name_field(line, at, ret);
	for (at++; at < end && char_is_blank(line[at]);)
		at++;
	while (end > at && char_is_blank(line[end - 1]))
		end--;
	ret->value = (struct http_slice){(uint32_t)at, (uint32_t)(end - at)};
	return 0;
}

bool http_upgrade_is_h2(const char *protocol, size_t len)
{
	const char *slash = memchr(protocol, '/', len);
	size_t n = slash ? (size_t)(slash - protocol) : len;

	if (token_is(protocol, n, "http"))
		return slash && n + 1 < len && slash[1] >= '2';
	return n >= 2 && token_is(protocol, 2, "h2");
}

bool http_is_hop_by_hop(const struct http_field *f)
{
	switch (f->id != FIELD_OTHER ? f->id : f->alias) {
	case FIELD_CONNECTION:
	case FIELD_KEEP_ALIVE:
	case FIELD_PROXY_CONNECTION:
	case FIELD_UPGRADE:
	case FIELD_TE:
	case FIELD_HTTP2_SETTINGS:
		return true;
	case FIELD_TRACEPARENT:
	case FIELD_TRACESTATE:
		return f->named;
	default:
		return f->id == FIELD_OTHER && f->named;
	}
}

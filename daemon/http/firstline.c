/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "firstline.h"

#include "syntax.h"

static enum http_method method_id(const char *method, size_t len)
{
	static const char names[][8] = {
	    [METHOD_GET] = "GET",         [METHOD_HEAD] = "HEAD",     [METHOD_POST] = "POST",
	    [METHOD_PUT] = "PUT",         [METHOD_DELETE] = "DELETE", [METHOD_CONNECT] = "CONNECT",
	    [METHOD_OPTIONS] = "OPTIONS", [METHOD_TRACE] = "TRACE",   [METHOD_PATCH] = "PATCH",
	};

	for (size_t i = METHOD_GET; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i][0] == method[0] && strlen(names[i]) == len &&
		    memcmp(names[i], method, len) == 0)
			return (enum http_method)i;
	return METHOD_OTHER;
}

/*
 * HTTP/1.1 and HTTP/1.0. A higher minor version is taken for 1.1 (RFC 9110 2.5): whoever passes the
 * head on writes its own version.
 */
static int parse_version(const char *text, size_t len, uint8_t *minor)
{
	if (len != sizeof("HTTP/1.1") - 1 || memcmp(text, "HTTP/", 5) != 0 ||
	    !char_is(text[5], CHAR_DIGIT) || text[6] != '.' || !char_is(text[7], CHAR_DIGIT))
		return -HTTP_BAD_VERSION;
	if (text[5] != '1')
		return -HTTP_UNSUPPORTED_VERSION;
	*minor = text[7] != '0';
	return 0;
}

/* http://authority/path?query; h->target is set. */
static int parse_absolute(const char *buf, struct http_head *h)
{
	const char *target = buf + h->target.at;
	size_t len = h->target.len, scheme, at;

	if (len > 7 && token_is(target, 4, "http") && memcmp(target + 4, "://", 3) == 0)
		scheme = 7;
	else if (len > 8 && token_is(target, 5, "https") && memcmp(target + 5, "://", 3) == 0)
		scheme = 8;
	else
		return -HTTP_BAD_TARGET;

	for (at = scheme; at < len && target[at] != '/' && target[at] != '?';)
		at++;
	if (!authority_is_valid(target + scheme, at - scheme, false))
		return -HTTP_BAD_HOST;

	h->form = TARGET_ABSOLUTE;
	h->host = (struct http_slice){h->target.at + (uint32_t)scheme, (uint32_t)(at - scheme)};
	h->path_absent = at == len || target[at] == '?';
	h->path = (struct http_slice){h->target.at + (uint32_t)at, (uint32_t)(len - at)};
	if (at == len)
		h->path = (struct http_slice){h->target.at + (uint32_t)scheme - 1, 1};
	return 0;
}

static int parse_target(const char *buf, struct http_head *h)
{
	const char *target = buf + h->target.at;

	if (h->method_id == METHOD_CONNECT) {
		if (!authority_is_valid(target, h->target.len, true))
			return -HTTP_BAD_TARGET;
		h->form = TARGET_AUTHORITY;
		h->host = h->target;
		h->path = (struct http_slice){h->target.at, 0};
		return 0;
	}
	if (target[0] == '/') {
		h->form = TARGET_ORIGIN;
		h->path = h->target;
		return 0;
	}
	if (target[0] == '*') {
		if (h->method_id != METHOD_OPTIONS || h->target.len != 1)
			return -HTTP_BAD_TARGET;
		h->form = TARGET_ASTERISK;
		h->path = h->target;
		return 0;
	}
	return parse_absolute(buf, h);
}

/* method SP target SP version, in buf[at, end) with CR LF behind it. */
static int request_line(const char *buf, size_t at, size_t end, struct http_head *h)
{
	size_t i = at;
	int r;

	while (i < end && char_is(buf[i], CHAR_TOKEN))
		i++;
	if (i == at || buf[i] != ' ')
		return -HTTP_BAD_METHOD;
	h->method = (struct http_slice){(uint32_t)at, (uint32_t)(i - at)};
	h->method_id = method_id(buf + at, i - at);

	at = ++i;
	while (i < end && char_is(buf[i], CHAR_TARGET))
		i++;
	if (i == at || (i < end && buf[i] != ' '))
		return -HTTP_BAD_TARGET;
	if (i == end)
		return -HTTP_BAD_VERSION;
	h->target = (struct http_slice){(uint32_t)at, (uint32_t)(i - at)};
	r = parse_version(buf + i + 1, end - i - 1, &h->minor);
	return r < 0 ? r : parse_target(buf, h);
}

/*
 * version SP status [SP reason], in buf[at, end). Many servers leave out the blank before a reason
 * that is empty.
 */
static int status_line(const char *buf, size_t at, size_t end, struct http_head *h)
{
	const char *space = memchr(buf + at, ' ', end - at);
	const char *code;
	size_t rest;
	int r;

	r = parse_version(buf + at, space ? (size_t)(space - buf) - at : end - at, &h->minor);
	if (r < 0)
		return r;
	if (!space)
		return -HTTP_BAD_STATUS;

	code = space + 1;
	rest = end - (size_t)(code - buf);
	if (rest < 3 || !char_is(code[0], CHAR_DIGIT) || !char_is(code[1], CHAR_DIGIT) ||
	    !char_is(code[2], CHAR_DIGIT) || code[0] == '0' || (rest > 3 && code[3] != ' '))
		return -HTTP_BAD_STATUS;
	h->status = (uint16_t)((code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0'));
	h->reason = (struct http_slice){(uint32_t)(rest > 3 ? end - rest + 4 : end),
					(uint32_t)(rest > 3 ? rest - 4 : 0)};
	return 0;
}

int head_first_line(const char *buf, size_t at, size_t end, struct http_head *h)
{
	return h->is_response ? status_line(buf, at, end, h) : request_line(buf, at, end, h);
}

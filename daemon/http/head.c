// SPDX-License-Identifier: GPL-2.0-or-later
#include "head.h"

#include <string.h>
#include <strings.h>

#include "../util.h"

const char *const http_error_str[_HTTP_ERROR_MAX] = {
    [HTTP_OK] = "ok",
    [HTTP_BAD_METHOD] = "bad_method",
    [HTTP_BAD_TARGET] = "bad_target",
    [HTTP_BAD_VERSION] = "bad_version",
    [HTTP_BAD_STATUS] = "bad_status",
    [HTTP_BAD_NAME] = "bad_name",
    [HTTP_SPACE_BEFORE_COLON] = "space_before_colon",
    [HTTP_BAD_VALUE] = "bad_value",
    [HTTP_OBS_FOLD] = "obs_fold",
    [HTTP_BARE_CR] = "bare_cr",
    [HTTP_BARE_LF] = "bare_lf",
    [HTTP_NO_HOST] = "no_host",
    [HTTP_TWO_HOSTS] = "two_hosts",
    [HTTP_BAD_HOST] = "bad_host",
    [HTTP_BAD_LENGTH] = "bad_length",
    [HTTP_TWO_LENGTHS] = "two_lengths",
    [HTTP_LENGTH_AND_CHUNKED] = "length_and_chunked",
    [HTTP_BAD_TRANSFER_ENCODING] = "bad_transfer_encoding",
    [HTTP_HEAD_TOO_LARGE] = "head_too_large",
    [HTTP_TOO_MANY_FIELDS] = "too_many_fields",
    [HTTP_BAD_CHUNK] = "bad_chunk",
};

int http_error_status(enum http_error error)
{
	switch (error) {
	case HTTP_HEAD_TOO_LARGE:
	case HTTP_TOO_MANY_FIELDS:
		return 431;
	case HTTP_BAD_VERSION:
		return 505;
	default:
		return 400;
	}
}

/* ---- characters ------------------------------------------------------------------------- */

enum { TOKEN = 1, VALUE = 2, TARGET = 4, HOST = 8 };

/*
 * What each byte may be a part of: RFC 9110 token and field-value; RFC 3986 for a target. A host
 * may have less than there: what nobody names a host with is refused by others, too.
 */
#define T (TOKEN | VALUE | TARGET | HOST) /* a letter, a digit, and - . _ ~ % */
#define S (TOKEN | VALUE | TARGET)
static const uint8_t class_of[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = S,
    ['"'] = VALUE | TARGET,
    ['#'] = TOKEN | VALUE,
    ['$'] = S,
    ['%'] = T,
    ['&'] = S,
    ['\''] = S,
    ['('] = VALUE | TARGET,
    [')'] = VALUE | TARGET,
    ['*'] = S,
    ['+'] = S,
    [','] = VALUE | TARGET,
    ['-'] = T,
    ['.'] = T,
    ['/'] = VALUE | TARGET,
    ['0' ... '9'] = T,
    [':'] = VALUE | TARGET,
    [';'] = VALUE | TARGET,
    ['<'] = VALUE | TARGET,
    ['='] = VALUE | TARGET,
    ['>'] = VALUE | TARGET,
    ['?'] = VALUE | TARGET,
    ['@'] = VALUE | TARGET,
    ['A' ... 'Z'] = T,
    ['['] = VALUE | TARGET,
    ['\\'] = VALUE | TARGET,
    [']'] = VALUE | TARGET,
    ['^'] = TOKEN | VALUE | TARGET,
    ['_'] = T,
    ['`'] = TOKEN | VALUE | TARGET,
    ['a' ... 'z'] = T,
    ['{'] = VALUE | TARGET,
    ['|'] = TOKEN | VALUE | TARGET,
    ['}'] = VALUE | TARGET,
    ['~'] = T,
    [0x80 ... 0xff] = VALUE | TARGET,
};
#undef T
#undef S

static bool is(char c, uint8_t class)
{
	return class_of[(unsigned char)c] & class;
}

static size_t run_of(const char *s, size_t len, uint8_t class)
{
	size_t n = 0;

	while (n < len && is(s[n], class))
		n++;
	return n;
}

static bool same(const char *s, size_t len, const char *name)
{
	return strlen(name) == len && strncasecmp(s, name, len) == 0;
}

/* ---- hosts ------------------------------------------------------------------------------ */

void http_host_split(const char *host, size_t len, size_t *name_len, uint16_t *port)
{
	const char *close = len && host[0] == '[' ? memchr(host, ']', len) : NULL;
	size_t from = close ? (size_t)(close - host) : 0;
	const char *colon = from < len ? memchr(host + from, ':', len - from) : NULL;
	unsigned int n = 0;

	*name_len = colon ? (size_t)(colon - host) : len;
	for (size_t i = *name_len + 1; colon && i < len; i++)
		n = n * 10 + (unsigned int)(host[i] - '0');
	*port = (uint16_t)n;
}

static bool is_port(const char *s, size_t len)
{
	unsigned int n = 0;

	if (len > 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		n = n * 10 + (unsigned int)(s[i] - '0');
	}
	return n <= UINT16_MAX;
}

/* uri-host [ ":" port ]; empty only where it may be. */
static bool is_authority(const char *s, size_t len, bool may_be_empty)
{
	size_t n;

	if (len && s[0] == '[') {
		for (n = 1; n < len && s[n] != ']'; n++)
			if (!strchr("0123456789abcdefABCDEF:.", s[n]) || !s[n])
				return false;
		if (n == len || n < 3)
			return false;
		n++;
	} else {
		n = run_of(s, len, HOST);
		if (n == 0 && (len || !may_be_empty))
			return false;
	}
	return n == len || (s[n] == ':' && is_port(s + n + 1, len - n - 1));
}

/* ---- first lines ------------------------------------------------------------------------ */

static uint8_t method_of(const char *s, size_t len)
{
	static const char *const names[] = {
	    [METHOD_GET] = "GET",         [METHOD_HEAD] = "HEAD",     [METHOD_POST] = "POST",
	    [METHOD_PUT] = "PUT",         [METHOD_DELETE] = "DELETE", [METHOD_CONNECT] = "CONNECT",
	    [METHOD_OPTIONS] = "OPTIONS", [METHOD_TRACE] = "TRACE",   [METHOD_PATCH] = "PATCH",
	};

	for (size_t i = METHOD_GET; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == len && memcmp(names[i], s, len) == 0)
			return (uint8_t)i;
	return METHOD_OTHER;
}

static enum http_error parse_version(const char *s, size_t len, uint8_t *minor)
{
	if (len != 8 || memcmp(s, "HTTP/1.", 7) != 0 || (s[7] != '0' && s[7] != '1'))
		return HTTP_BAD_VERSION;
	*minor = (uint8_t)(s[7] - '0');
	return HTTP_OK;
}

/* scheme "://" authority path: the authority's end is where the path or the query begins. */
static enum http_error parse_absolute(const char *buf, struct http_head *h)
{
	const char *s = buf + h->target.at;
	size_t len = h->target.len, n = 0, from;

	if (len > 7 && strncasecmp(s, "http://", 7) == 0)
		n = 7;
	else if (len > 8 && strncasecmp(s, "https://", 8) == 0)
		n = 8;
	if (!n)
		return HTTP_BAD_TARGET;
	for (from = n; n < len && s[n] != '/' && s[n] != '?'; n++)
		;
	if (!is_authority(s + from, n - from, false))
		return HTTP_BAD_TARGET;
	h->host = (struct http_slice){h->target.at + (uint32_t)from, (uint32_t)(n - from)};
	h->has_host = true;
	h->path = (struct http_slice){h->target.at + (uint32_t)n, (uint32_t)(len - n)};
	h->form = TARGET_ABSOLUTE;
	return HTTP_OK;
}

static enum http_error parse_target(const char *buf, struct http_head *h)
{
	const char *s = buf + h->target.at;
	size_t len = h->target.len, name;
	uint16_t port;

	h->path = h->target;
	if (h->method_id == METHOD_CONNECT) {
		http_host_split(s, len, &name, &port);
		if (!is_authority(s, len, false) || !port)
			return HTTP_BAD_TARGET;
		h->form = TARGET_AUTHORITY;
		h->host = h->target;
		h->has_host = true;
		return HTTP_OK;
	}
	if (s[0] == '/') {
		h->form = TARGET_ORIGIN;
		return HTTP_OK;
	}
	if (len == 1 && s[0] == '*' && h->method_id == METHOD_OPTIONS) {
		h->form = TARGET_ASTERISK;
		return HTTP_OK;
	}
	return parse_absolute(buf, h);
}

/* method SP request-target SP HTTP-version, with exactly these blanks. */
static enum http_error parse_request_line(const char *buf, size_t at, size_t end,
					  struct http_head *h)
{
	size_t n = run_of(buf + at, end - at, TOKEN), from = at + n + 1;
	enum http_error err;

	if (!n || at + n >= end || buf[at + n] != ' ')
		return HTTP_BAD_METHOD;
	h->method = (struct http_slice){(uint32_t)at, (uint32_t)n};
	h->method_id = method_of(buf + at, n);
	n = run_of(buf + from, end - from, TARGET);
	if (!n)
		return HTTP_BAD_TARGET;
	if (from + n == end)
		return HTTP_BAD_VERSION; /* HTTP/0.9 */
	if (buf[from + n] != ' ')
		return HTTP_BAD_TARGET;
	h->target = (struct http_slice){(uint32_t)from, (uint32_t)n};
	err = parse_version(buf + from + n + 1, end - from - n - 1, &h->minor);
	return err ? err : parse_target(buf, h);
}

/* HTTP-version SP status SP [reason]; the second blank is often missing. */
static enum http_error parse_status_line(const char *buf, size_t at, size_t end,
					 struct http_head *h)
{
	const char *s = buf + at;
	size_t len = end - at;
	enum http_error err = parse_version(s, MIN(len, (size_t)8), &h->minor);

	if (err)
		return err;
	if (len < 12 || s[8] != ' ' || s[9] < '1' || s[9] > '5' || s[10] < '0' || s[10] > '9' ||
	    s[11] < '0' || s[11] > '9' || (len > 12 && s[12] != ' '))
		return HTTP_BAD_STATUS;
	h->status = (uint16_t)((s[9] - '0') * 100 + (s[10] - '0') * 10 + (s[11] - '0'));
	if (len > 13) {
		h->reason = (struct http_slice){(uint32_t)at + 13, (uint32_t)len - 13};
		if (run_of(s + 13, len - 13, VALUE) != len - 13)
			return HTTP_BAD_VALUE;
	}
	return HTTP_OK;
}

/* ---- fields ----------------------------------------------------------------------------- */

static uint8_t field_of(const char *s, size_t len)
{
	static const struct {
		const char *name;
		uint8_t len, id;
	} known[] = {
#define KNOWN(text, id) {text, sizeof(text) - 1, (id)}
	    KNOWN("host", FIELD_HOST),
	    KNOWN("content-length", FIELD_CONTENT_LENGTH),
	    KNOWN("transfer-encoding", FIELD_TRANSFER_ENCODING),
	    KNOWN("connection", FIELD_CONNECTION),
	    KNOWN("keep-alive", FIELD_KEEP_ALIVE),
	    KNOWN("proxy-connection", FIELD_PROXY_CONNECTION),
	    KNOWN("upgrade", FIELD_UPGRADE),
	    KNOWN("te", FIELD_TE),
	    KNOWN("expect", FIELD_EXPECT),
	    KNOWN("x-forwarded-for", FIELD_X_FORWARDED_FOR),
	    KNOWN("x-forwarded-proto", FIELD_X_FORWARDED_PROTO),
	    KNOWN("forwarded", FIELD_FORWARDED),
	    KNOWN("http2-settings", FIELD_HTTP2_SETTINGS),
#undef KNOWN
	};
	char first = (char)(s[0] | 0x20);

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].len == len && known[i].name[0] == first &&
		    strncasecmp(s, known[i].name, len) == 0)
			return known[i].id;
	return FIELD_OTHER;
}

static enum http_error parse_length(const char *s, size_t len, struct http_head *h)
{
	uint64_t n = 0;

	if (h->has_length)
		return HTTP_TWO_LENGTHS;
	if (!len || len > 19)
		return HTTP_BAD_LENGTH;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return HTTP_BAD_LENGTH;
		n = n * 10 + (uint64_t)(s[i] - '0');
	}
	if (n > INT64_MAX)
		return HTTP_BAD_LENGTH;
	h->content_length = n;
	h->has_length = true;
	return HTTP_OK;
}

/* What the options of a Connection field say; *upgrade is raised by that word. */
static void parse_connection(const char *s, size_t len, struct http_head *h, bool *close,
			     bool *keep, bool *upgrade)
{
	size_t at = 0;

	while (at < len) {
		size_t n = run_of(s + at, len - at, TOKEN);

		if (same(s + at, n, "close"))
			*close = true;
		else if (same(s + at, n, "keep-alive"))
			*keep = true;
		else if (same(s + at, n, "upgrade"))
			*upgrade = true;
		else if (n)
			h->names_connection = true;
		at += n ? n : 1;
	}
}

/* What is found out about the message while its fields are read. */
struct seen {
	bool host, host_line, close, keep, upgrade_option, upgrade_field;
};

static enum http_error use_host(const char *buf, const struct http_field *f, struct http_head *h,
				struct seen *seen)
{
	if (seen->host)
		return HTTP_TWO_HOSTS;
	seen->host = true;
	if (!is_authority(buf + f->value.at, f->value.len, true))
		return HTTP_BAD_HOST;
	/* The target's own authority goes before it (RFC 9112, 3.2.2). */
	if (!h->has_host) {
		h->host = f->value;
		h->has_host = f->value.len > 0;
	}
	return HTTP_OK;
}

static enum http_error use_field(const char *buf, const struct http_field *f, struct http_head *h,
				 struct seen *seen)
{
	const char *value = buf + f->value.at;

	switch (f->id) {
	case FIELD_HOST:
		return h->is_response ? HTTP_OK : use_host(buf, f, h, seen);
	case FIELD_CONTENT_LENGTH:
		return parse_length(value, f->value.len, h);
	case FIELD_TRANSFER_ENCODING:
		if (h->chunked || !same(value, f->value.len, "chunked"))
			return HTTP_BAD_TRANSFER_ENCODING;
		h->chunked = true;
		break;
	case FIELD_CONNECTION:
		parse_connection(value, f->value.len, h, &seen->close, &seen->keep,
				 &seen->upgrade_option);
		break;
	case FIELD_UPGRADE:
		seen->upgrade_field = true;
		break;
	case FIELD_EXPECT:
		h->expect_continue |= same(value, f->value.len, "100-continue");
		break;
	default:
		break;
	}
	return HTTP_OK;
}

/* name ":" OWS value OWS */
static enum http_error parse_field(const char *buf, size_t at, size_t end, struct http_field *f)
{
	size_t n, from, to = end;

	if (buf[at] == ' ' || buf[at] == '\t')
		return HTTP_OBS_FOLD;
	n = run_of(buf + at, end - at, TOKEN);
	if (at + n < end && n && (buf[at + n] == ' ' || buf[at + n] == '\t'))
		return HTTP_SPACE_BEFORE_COLON;
	if (!n || at + n == end || buf[at + n] != ':')
		return HTTP_BAD_NAME;
	for (from = at + n + 1; from < end && (buf[from] == ' ' || buf[from] == '\t'); from++)
		;
	while (to > from && (buf[to - 1] == ' ' || buf[to - 1] == '\t'))
		to--;
	if (run_of(buf + from, to - from, VALUE) != to - from)
		return HTTP_BAD_VALUE;
	f->name = (struct http_slice){(uint32_t)at, (uint32_t)n};
	f->value = (struct http_slice){(uint32_t)from, (uint32_t)(to - from)};
	f->id = field_of(buf + at, n);
	return HTTP_OK;
}

/* A field that goes on in the next line is refused for that, whatever its first line says. */
static enum http_error check_fold(const char *buf, size_t next, size_t len)
{
	return next < len && (buf[next] == ' ' || buf[next] == '\t') ? HTTP_OBS_FOLD : HTTP_OK;
}

/* ---- lines ------------------------------------------------------------------------------ */

/* The next line's end (the CR); an error where its end is not CR LF. *next is behind the LF. */
static enum http_error line_end(const char *buf, size_t at, size_t len, size_t *end, size_t *next)
{
	const char *lf = memchr(buf + at, '\n', len - at), *cr;

	if (!lf)
		return HTTP_BARE_CR; /* the caller knows that there is one */
	*next = (size_t)(lf - buf) + 1;
	if (lf == buf + at || lf[-1] != '\r')
		return HTTP_BARE_LF;
	*end = (size_t)(lf - buf) - 1;
	cr = memchr(buf + at, '\r', *end - at);
	return cr ? HTTP_BARE_CR : HTTP_OK;
}

static enum http_error parse_fields(const char *buf, size_t at, size_t len,
				    const struct http_limits *limits, struct http_head *h,
				    struct seen *seen)
{
	for (;;) {
		struct http_field *f = &h->fields[h->n_fields];
		size_t end, next;
		enum http_error err = line_end(buf, at, len, &end, &next);

		if (err)
			return err;
		if (end == at)
			return HTTP_OK;
		if (h->n_fields == limits->fields_max)
			return HTTP_TOO_MANY_FIELDS;
		err = parse_field(buf, at, end, f);
		if (!err)
			err = check_fold(buf, next, len);
		if (!err)
			err = use_field(buf, f, h, seen);
		if (err)
			return err;
		h->n_fields++;
		at = next;
	}
}

/* What only the whole head shows. */
static enum http_error conclude(struct http_head *h, const struct seen *seen)
{
	h->keep_alive = h->minor == 1 ? !seen->close : seen->keep && !seen->close;
	h->upgrade = seen->upgrade_option && seen->upgrade_field && h->minor == 1;
	if (h->has_length && h->chunked)
		return HTTP_LENGTH_AND_CHUNKED;
	if (h->chunked && h->minor == 0)
		return HTTP_BAD_TRANSFER_ENCODING;
	if (!h->is_response && h->minor == 1 && !seen->host)
		return HTTP_NO_HOST;
	return HTTP_OK;
}

/*
 * The length of the head: up to the first empty line, whatever its line ends are made of; 0: not
 * complete. A lone LF ends a line here so that a head with such lines is found to be wrong at once.
 */
static size_t find_end(const char *buf, size_t from, size_t at, size_t len)
{
	while (at < len) {
		const char *lf = memchr(buf + at, '\n', len - at);
		size_t n;

		if (!lf)
			return 0;
		n = (size_t)(lf - buf);
		if (n > from && buf[n - 1] == '\n')
			return n + 1;
		if (n > from + 1 && buf[n - 1] == '\r' && buf[n - 2] == '\n')
			return n + 1;
		at = n + 1;
	}
	return 0;
}

/* The lines that are complete; what is wrong with them need not wait for the rest. */
static enum http_error parse_lines(const char *buf, size_t at, size_t len,
				   const struct http_limits *limits, struct http_head *h)
{
	struct seen seen = {0};
	size_t end, next;
	enum http_error err = line_end(buf, at, len, &end, &next);

	if (err)
		return err;
	err = h->is_response ? parse_status_line(buf, at, end, h)
			     : parse_request_line(buf, at, end, h);
	for (at = next; !err && memchr(buf + at, '\n', len - at); at = next) {
		err = line_end(buf, at, len, &end, &next);
		if (!err && h->n_fields == limits->fields_max)
			err = HTTP_TOO_MANY_FIELDS;
		if (!err)
			err = parse_field(buf, at, end, &h->fields[h->n_fields]);
		if (!err)
			err = check_fold(buf, next, len);
		if (!err)
			err = use_field(buf, &h->fields[h->n_fields++], h, &seen);
	}
	return err;
}

/* What the bytes of an unfinished line give away. */
static enum http_error check_rest(const char *buf, size_t at, size_t from, size_t len,
				  bool is_response)
{
	const char *lf = memrchr(buf + at, '\n', len - at);
	const char *cr = memchr(buf + from, '\r', len - from);
	size_t line = lf ? (size_t)(lf - buf) + 1 : at, n;

	for (; cr; cr = memchr(cr + 1, '\r', len - (size_t)(cr + 1 - buf)))
		if (cr + 1 < buf + len && cr[1] != '\n')
			return HTTP_BARE_CR;
	n = run_of(buf + line, len - line, TOKEN);
	if (line + n == len || buf[line + n] == '\r')
		return HTTP_OK;
	/* Not even a method, or a field's name: it would not be told from a slow client. */
	if (!lf)
		return !is_response && (!n || buf[line + n] != ' ') ? HTTP_BAD_METHOD : HTTP_OK;
	if (n && buf[line + n] == ':')
		return HTTP_OK;
	if (buf[line + n] != ' ' && buf[line + n] != '\t')
		return HTTP_BAD_NAME;
	return n ? HTTP_SPACE_BEFORE_COLON : HTTP_OBS_FOLD;
}

static int incomplete(const char *buf, size_t at, size_t len, size_t *scanned,
		      const struct http_limits *limits, struct http_head *h)
{
	size_t from = MAX(at, *scanned);
	enum http_error err = HTTP_OK;

	if (len - at >= limits->head_max)
		return -HTTP_HEAD_TOO_LARGE;
	if (from < len && memchr(buf + from, '\n', len - from))
		err = parse_lines(buf, at, len, limits, h);
	if (!err && from < len)
		err = check_rest(buf, at, from, len, h->is_response);
	if (err)
		return -(int)err;
	/* An empty line may be cut anywhere: its bytes are looked at again. */
	*scanned = len > 3 ? len - 3 : 0;
	return 0;
}

static int parse(const char *buf, size_t len, size_t *scanned, const struct http_limits *limits,
		 struct http_field *fields, bool is_response, struct http_head *ret)
{
	struct seen seen = {0};
	size_t at = 0, total, end, next;
	enum http_error err;

	/* A client may have sent an empty line after its last body (RFC 9112, 2.2). */
	if (!is_response && len >= 1 && buf[0] == '\r') {
		if (len == 1)
			return 0;
		if (buf[1] != '\n')
			return -HTTP_BARE_CR;
		at = 2;
	}
	*ret = (struct http_head){.is_response = is_response, .fields = fields};
	total = find_end(buf, at, MAX(at, *scanned), len);
	if (!total)
		return incomplete(buf, at, len, scanned, limits, ret);
	if (total - at > limits->head_max)
		return -HTTP_HEAD_TOO_LARGE;
	err = line_end(buf, at, total, &end, &next);
	if (!err)
		err = is_response ? parse_status_line(buf, at, end, ret)
				  : parse_request_line(buf, at, end, ret);
	if (!err)
		err = parse_fields(buf, next, total, limits, ret, &seen);
	if (!err)
		err = conclude(ret, &seen);
	return err ? -(int)err : (int)total;
}

int http_request_parse(const char *buf, size_t len, size_t *scanned,
		       const struct http_limits *limits, struct http_field *fields,
		       struct http_head *ret)
{
	return parse(buf, len, scanned, limits, fields, false, ret);
}

int http_response_parse(const char *buf, size_t len, size_t *scanned,
			const struct http_limits *limits, struct http_field *fields,
			struct http_head *ret)
{
	return parse(buf, len, scanned, limits, fields, true, ret);
}

/* ---- hop by hop ------------------------------------------------------------------------- */

static bool is_named(const struct http_head *h, const char *buf, const struct http_field *f)
{
	for (unsigned int i = 0; i < h->n_fields; i++) {
		const struct http_field *c = &h->fields[i];
		const char *s = buf + c->value.at;
		size_t at = 0;

		if (c->id != FIELD_CONNECTION)
			continue;
		while (at < c->value.len) {
			size_t n = run_of(s + at, c->value.len - at, TOKEN);

			if (n == f->name.len && n && strncasecmp(s + at, buf + f->name.at, n) == 0)
				return true;
			at += n ? n : 1;
		}
	}
	return false;
}

bool http_is_hop_by_hop(const struct http_head *head, const char *buf, const struct http_field *f)
{
	switch (f->id) {
	case FIELD_CONNECTION:
	case FIELD_KEEP_ALIVE:
	case FIELD_PROXY_CONNECTION:
	case FIELD_TE:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_UPGRADE:
	case FIELD_HTTP2_SETTINGS:
		return true;
	case FIELD_HOST:
	case FIELD_CONTENT_LENGTH:
	case FIELD_EXPECT:
	case FIELD_X_FORWARDED_FOR:
	case FIELD_X_FORWARDED_PROTO:
	case FIELD_FORWARDED:
		return false;
	default:
		return head->names_connection && is_named(head, buf, f);
	}
}

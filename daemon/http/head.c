/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A head is parsed in one pass when it came whole. One that comes in pieces is judged line by line,
 * as the lines get complete, by the same functions; what a later line's judgement depends on is
 * kept in struct http_scan. Its fields are not: when its end is there, it is parsed once more as a
 * whole.
 */
#include "named.h"
#include "syntax.h"

struct parser {
	const char *buf;
	size_t len; /* at most head_max */
	struct http_head *head;
	struct http_field *fields;
	uint16_t fields_max;
	uint16_t options; /* in Connection fields so far */
	bool option_keep_alive;
	bool option_upgrade;
	bool has_upgrade;
	bool has_host_field;
	bool past_first; /* the first line */
	uint8_t empty;   /* lines before that */
	bool in_part;    /* fields are judged, and not kept */
};

/* ---- the first line ---- */

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
	h->method_id = (uint8_t)method_id(buf + at, i - at);

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

static int first_line(const char *buf, size_t at, size_t end, struct http_head *h)
{
	return h->is_response ? status_line(buf, at, end, h) : request_line(buf, at, end, h);
}

/* ---- fields that mean something ---- */

static int host_field(struct parser *p, const struct http_field *f)
{
	struct http_head *h = p->head;

	if (h->is_response)
		return 0;
	if (p->has_host_field)
		return -HTTP_TWO_HOSTS;
	if (!authority_is_valid(p->buf + f->value.at, f->value.len, false))
		return -HTTP_BAD_HOST;
	p->has_host_field = true;
	if (h->form == TARGET_ORIGIN || h->form == TARGET_ASTERISK)
		h->host = f->value;
	return 0;
}

static int length_field(struct parser *p, const struct http_field *f)
{
	const char *text = p->buf + f->value.at;
	struct http_head *h = p->head;
	uint64_t n = 0;

	if (h->has_length)
		return -HTTP_TWO_LENGTHS;
	/* INT64_MAX has 19 digits, and 19 digits fit into 64 bits. */
	if (f->value.len < 1 || f->value.len > 19)
		return -HTTP_BAD_LENGTH;
	for (size_t i = 0; i < f->value.len; i++) {
		if (!char_is(text[i], CHAR_DIGIT))
			return -HTTP_BAD_LENGTH;
		n = n * 10 + (uint64_t)(text[i] - '0');
	}
	if (n > INT64_MAX)
		return -HTTP_BAD_LENGTH;
	h->content_length = n;
	h->has_length = true;
	return h->chunked ? -HTTP_LENGTH_AND_CHUNKED : 0;
}

/*
 * A list of transfer codings that is not just `chunked`. One that names another coding would be
 * fine if that were known; but nothing may follow `chunked`, which ends the message.
 */
static int other_codings(const char *buf, struct http_slice rest)
{
	struct http_slice coding;
	size_t n;

	while (list_next(buf, &rest, &coding)) {
		const char *text = buf + coding.at;

		for (n = 0; n < coding.len && char_is(text[n], CHAR_TOKEN);)
			n++;
		if (n == 0 || (token_is(text, n, "chunked") && (n < coding.len || rest.len)))
			return -HTTP_BAD_TRANSFER_ENCODING;
		while (n < coding.len && char_is_blank(text[n]))
			n++;
		if (n < coding.len && text[n] != ';')
			return -HTTP_BAD_TRANSFER_ENCODING;
	}
	return -HTTP_UNKNOWN_TRANSFER_ENCODING;
}

static int encoding_field(struct parser *p, const struct http_field *f)
{
	struct http_head *h = p->head;

	if (h->minor == 0)
		return -HTTP_CHUNKED_IN_1_0;
	if (h->chunked || f->value.len == 0)
		return -HTTP_BAD_TRANSFER_ENCODING;
	if (!token_is(p->buf + f->value.at, f->value.len, "chunked"))
		return other_codings(p->buf, f->value);
	h->chunked = true;
	return h->has_length ? -HTTP_LENGTH_AND_CHUNKED : 0;
}

/* The number of options is bounded, since other fields are looked up in them. */
static int connection_field(struct parser *p, const struct http_field *f)
{
	struct http_slice rest = f->value, option;
	const char *text;

	while (list_next(p->buf, &rest, &option)) {
		if (++p->options > HTTP_CONNECTION_OPTIONS)
			return -HTTP_BAD_CONNECTION;
		text = p->buf + option.at;
		if (token_is(text, option.len, "close"))
			p->head->connection_close = true;
		else if (token_is(text, option.len, "keep-alive"))
			p->option_keep_alive = true;
		else if (token_is(text, option.len, "upgrade"))
			p->option_upgrade = true;
		else if (option.len)
			p->head->connection_others = true;
	}
	return 0;
}

static bool list_has(const char *buf, struct http_slice list, const char *token)
{
	struct http_slice element;

	while (list_next(buf, &list, &element))
		if (token_is(buf + element.at, element.len, token))
			return true;
	return false;
}

/* It means something to a proxy with two methods only: RFC 9110 7.6.2. */
static int max_forwards_field(struct parser *p, const struct http_field *f)
{
	const char *text = p->buf + f->value.at;
	struct http_head *h = p->head;
	uint64_t n = 0;

	if (h->is_response || (h->method_id != METHOD_OPTIONS && h->method_id != METHOD_TRACE))
		return 0;
	if (h->has_max_forwards || f->value.len == 0)
		return -HTTP_BAD_MAX_FORWARDS;
	for (size_t i = 0; i < f->value.len; i++) {
		if (!char_is(text[i], CHAR_DIGIT))
			return -HTTP_BAD_MAX_FORWARDS;
		n = n * 10 + (uint64_t)(text[i] - '0');
		if (n > UINT32_MAX)
			n = UINT32_MAX;
	}
	h->max_forwards = (uint32_t)n;
	h->has_max_forwards = true;
	return 0;
}

static int known_field(struct parser *p, const struct http_field *f)
{
	switch (f->id) {
	case FIELD_HOST:
		return host_field(p, f);
	case FIELD_CONTENT_LENGTH:
		return length_field(p, f);
	case FIELD_TRANSFER_ENCODING:
		return encoding_field(p, f);
	case FIELD_CONNECTION:
		return connection_field(p, f);
	case FIELD_EXPECT:
		p->head->expect_continue |= list_has(p->buf, f->value, "100-continue");
		return 0;
	case FIELD_MAX_FORWARDS:
		return max_forwards_field(p, f);
	case FIELD_UPGRADE:
		p->has_upgrade = true;
		return 0;
	case FIELD_TE:
		p->head->te_trailers |= list_has(p->buf, f->value, "trailers");
		return 0;
	case FIELD_DATE:
		p->head->has_date = true;
		return 0;
	default:
		return 0;
	}
}

static int field_line(struct parser *p, size_t at, size_t end)
{
	struct http_field *f = &p->fields[p->in_part ? 0 : p->head->n_fields];
	int r;

	if (p->head->n_fields == p->fields_max)
		return -HTTP_TOO_MANY_FIELDS;
	r = http_field_parse(p->buf + at, end - at, f);
	if (r < 0)
		return r;
	f->name.at += (uint32_t)at;
	f->value.at += (uint32_t)at;
	p->head->n_fields++;
	return f->id == FIELD_OTHER ? 0 : known_field(p, f);
}

/* What only the whole head says. */
static int finish(struct parser *p)
{
	struct http_head *h = p->head;

	if (!h->is_response && h->minor > 0 && !p->has_host_field)
		return -HTTP_NO_HOST;
	h->has_host = h->host.len > 0;
	h->keep_alive = !h->connection_close && (h->minor > 0 || p->option_keep_alive);
	h->upgrade = h->minor > 0 && p->option_upgrade && p->has_upgrade;
	h->expect_continue = h->expect_continue && h->minor > 0;
	h->te_trailers = h->te_trailers && h->minor > 0;
	if (h->connection_others && !p->in_part)
		http_mark_named(h, p->buf);
	return 0;
}

/* ---- lines ---- */

/* Is the line that stops at `stop` without its CR LF still? */
static bool is_incomplete(const struct parser *p, size_t stop)
{
	return stop == p->len || (p->buf[stop] == '\r' && stop + 1 == p->len);
}

static bool is_complete(const struct parser *p, size_t stop)
{
	return stop + 1 < p->len && p->buf[stop] == '\r' && p->buf[stop + 1] == '\n';
}

/* What the control byte at `stop` spoils, in the line that begins at `start`. */
static int stop_error(const struct parser *p, size_t start, size_t stop)
{
	static const enum http_error of_request[] = {HTTP_BAD_METHOD, HTTP_BAD_TARGET,
						     HTTP_BAD_VERSION};
	static const enum http_error of_response[] = {HTTP_BAD_VERSION, HTTP_BAD_STATUS,
						      HTTP_BAD_REASON};
	const char *line = p->buf + start;
	size_t len = stop - start, spaces = 0;

	if (p->buf[stop] == '\r')
		return -HTTP_BARE_CR;
	if (p->buf[stop] == '\n')
		return -HTTP_BARE_LF;
	if (p->past_first)
		return memchr(line, ':', len) ? -HTTP_BAD_VALUE : -HTTP_BAD_NAME;

	for (size_t i = 0; i < len && spaces < 2; i++)
		spaces += line[i] == ' ';
	return -(int)(p->head->is_response ? of_response : of_request)[spaces];
}

/* Empty lines before a request are a client's that ended its last body with them: RFC 9112 2.2. */
static bool may_be_empty(const struct parser *p)
{
	return !p->past_first && !p->head->is_response && p->empty < HTTP_EMPTY_LINES;
}

/* Lines from the one on that begins at scan->line; the bytes before scan->at were looked at. */
static int parse_lines(struct parser *p, struct http_scan *scan)
{
	size_t at = scan->line, stop = scan->at;
	int r;

	for (;; at = stop += 2) {
		stop = line_scan(p->buf, stop, p->len);
		if (is_incomplete(p, stop)) {
			scan->line = (uint32_t)at;
			scan->at = (uint32_t)stop;
			return 0;
		}
		if (!is_complete(p, stop))
			return stop_error(p, at, stop);
		if (stop == at && p->past_first)
			break;
		if (stop == at && may_be_empty(p)) {
			p->empty++;
			continue;
		}
		r = p->past_first ? field_line(p, at, stop) : first_line(p->buf, at, stop, p->head);
		if (r < 0)
			return r;
		p->past_first = true;
	}
	r = finish(p);
	return r < 0 ? r : (int)(stop + 2);
}

static void resume(struct parser *p, const struct http_scan *scan)
{
	*p->head = (struct http_head){
	    .is_response = p->head->is_response,
	    .method_id = scan->method_id,
	    .minor = scan->minor,
	    .n_fields = scan->fields,
	    .has_length = scan->has_length,
	    .chunked = scan->chunked,
	    .has_max_forwards = scan->has_max_forwards,
	    .fields = p->fields,
	};
	p->options = scan->options;
	p->has_host_field = scan->has_host_field;
	p->past_first = scan->past_first;
	p->empty = scan->empty;
	p->option_keep_alive = p->option_upgrade = p->has_upgrade = false;
	p->in_part = scan->line > 0;
}

static void remember(const struct parser *p, struct http_scan *scan)
{
	const struct http_head *h = p->head;

	*scan = (struct http_scan){
	    .at = scan->at,
	    .line = scan->line,
	    .fields = h->n_fields,
	    .options = p->options,
	    .method_id = h->method_id,
	    .minor = h->minor,
	    .empty = p->empty,
	    .begun = true,
	    .past_first = p->past_first,
	    .has_host_field = p->has_host_field,
	    .has_length = h->has_length,
	    .chunked = h->chunked,
	    .has_max_forwards = h->has_max_forwards,
	};
}

static int parse(const char *buf, size_t len, struct http_scan *scan,
		 const struct http_limits *limits, struct http_field *fields, struct http_head *ret)
{
	struct parser p = {
	    .buf = buf,
	    .len = len < limits->head_max ? len : limits->head_max,
	    .head = ret,
	    .fields = fields,
	    .fields_max = limits->fields_max,
	};
	int r;

	resume(&p, scan);
	r = parse_lines(&p, scan);
	if (r > 0 && p.in_part) {
		*scan = (struct http_scan){0};
		resume(&p, scan);
		r = parse_lines(&p, scan);
	}
	/* No more will be read: what was wrong with the lines that are there came first. */
	if (r == 0 && len >= limits->head_max)
		r = p.past_first || ret->is_response ? -HTTP_HEAD_TOO_LARGE : -HTTP_URI_TOO_LONG;
	if (r == 0)
		remember(&p, scan);
	else
		*scan = (struct http_scan){0};
	return r;
}

int http_request_parse(const char *buf, size_t len, struct http_scan *scan,
		       const struct http_limits *limits, struct http_field *fields,
		       struct http_head *ret)
{
	ret->is_response = false;
	return parse(buf, len, scan, limits, fields, ret);
}

int http_response_parse(const char *buf, size_t len, struct http_scan *scan,
			const struct http_limits *limits, struct http_field *fields,
			struct http_head *ret)
{
	ret->is_response = true;
	return parse(buf, len, scan, limits, fields, ret);
}

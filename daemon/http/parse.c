/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A head is parsed in one pass when it came whole. One that comes in pieces is judged line by line,
 * as the lines get complete, by the same functions; what a later line's judgement depends on is
 * kept in struct http_scan. Its fields are not: when its end is there, it is parsed once more as a
 * whole.
 */
#include "parse.h"

#include "field.h"
#include "firstline.h"
#include "meaning.h"
#include "syntax.h"

static int field_line(struct head_parser *p, size_t at, size_t end)
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
	return f->id == FIELD_OTHER ? 0 : head_field_meaning(p, f);
}

/* Is the line that stops at `stop` without its CR LF still? */
static bool is_incomplete(const struct head_parser *p, size_t stop)
{
	return stop == p->len || (p->buf[stop] == '\r' && stop + 1 == p->len);
}

static bool is_complete(const struct head_parser *p, size_t stop)
{
	return stop + 1 < p->len && p->buf[stop] == '\r' && p->buf[stop + 1] == '\n';
}

/* What the control byte at `stop` spoils, in the line that begins at `start`. */
static int stop_error(const struct head_parser *p, size_t start, size_t stop)
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
static bool may_be_empty(const struct head_parser *p)
{
	return !p->past_first && !p->head->is_response && p->empty < HTTP_EMPTY_LINES;
}

/* Lines from the one on that begins at scan->line; the bytes before scan->at were looked at. */
static int parse_lines(struct head_parser *p, struct http_scan *scan)
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
		r = p->past_first ? field_line(p, at, stop)
				  : head_first_line(p->buf, at, stop, p->head);
		if (r < 0)
			return r;
		p->past_first = true;
	}
	r = head_whole_meaning(p);
	return r < 0 ? r : (int)(stop + 2);
}

static void resume(struct head_parser *p, const struct http_scan *scan)
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

static void remember(const struct head_parser *p, struct http_scan *scan)
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
	struct head_parser p = {
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "meaning.h"

#include "named.h"
#include "syntax.h"

static int host_field(struct head_parser *p, const struct http_field *f)
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

static int length_field(struct head_parser *p, const struct http_field *f)
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
 * A list of transfer codings that is not just `chunked`, once. One that names another coding would
 * be fine if that were known; but nothing may follow `chunked`, which ends the message.
 */
static int other_codings(const char *buf, struct http_slice rest)
{
	struct http_slice coding;
	bool known = true;
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
		known = known && token_is(text, coding.len, "chunked");
	}
	return known ? -HTTP_BAD_TRANSFER_ENCODING : -HTTP_UNKNOWN_TRANSFER_ENCODING;
}

static int encoding_field(struct head_parser *p, const struct http_field *f)
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
static int connection_field(struct head_parser *p, const struct http_field *f)
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
static int max_forwards_field(struct head_parser *p, const struct http_field *f)
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

int head_field_meaning(struct head_parser *p, const struct http_field *f)
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

int head_whole_meaning(struct head_parser *p)
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

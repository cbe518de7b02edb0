// SPDX-License-Identifier: GPL-2.0-or-later
#include "accesslog.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

#define LINE_MAX_BYTES 8192

static struct access_pair *next_pair(struct access_entry *e, const char *key)
{
	struct access_pair *p = &e->pairs[e->n < ACCESS_PAIRS ? e->n++ : ACCESS_PAIRS - 1];

	*p = (struct access_pair){.key = key};
	return p;
}

void access_bytes(struct access_entry *e, const char *key, const char *text, size_t len)
{
	struct access_pair *p = next_pair(e, key);

	p->text = len ? text : "-";
	p->text_len = len ? len : 1;
}

void access_text(struct access_entry *e, const char *key, const char *text)
{
	access_bytes(e, key, text, text ? strlen(text) : 0);
}

void access_number(struct access_entry *e, const char *key, uint64_t number)
{
	next_pair(e, key)->number = number;
}

/* ---- text ------------------------------------------------------------------------------- */

struct line {
	char *at, *end;
};

static void put(struct line *l, const char *text, size_t len)
{
	len = MIN(len, (size_t)(l->end - l->at));
	memcpy(l->at, text, len);
	l->at += len;
}

static bool is_plain(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '%';
}

static void put_encoded(struct line *l, const char *text, size_t len)
{
	char code[4];

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (is_plain(c)) {
			put(l, text + i, 1);
			continue;
		}
		(void)snprintf(code, sizeof(code), "%%%02X", c);
		put(l, code, 3);
	}
}

size_t access_format_text(const struct access_entry *e, char *buf, size_t size)
{
	struct line l = {.at = buf, .end = buf + size - 1};
	char number[24];

	put(&l, e->kind, strlen(e->kind));
	for (unsigned int i = 0; i < e->n; i++) {
		const struct access_pair *p = &e->pairs[i];

		put(&l, " ", 1);
		put(&l, p->key, strlen(p->key));
		put(&l, "=", 1);
		if (p->text)
			put_encoded(&l, p->text, p->text_len);
		else
			put(&l, number,
			    (size_t)snprintf(number, sizeof(number), "%llu",
					     (unsigned long long)p->number));
	}
	*l.at = '\0';
	return (size_t)(l.at - buf);
}

/* ---- JSON ------------------------------------------------------------------------------- */

/* Bytes that are not UTF-8 are shown as in a line of text. */
static json_t *json_text(const struct access_pair *p)
{
	json_t *value = json_stringn(p->text, p->text_len);
	char buf[LINE_MAX_BYTES];
	struct line l = {.at = buf, .end = buf + sizeof(buf)};

	if (value)
		return value;
	put_encoded(&l, p->text, p->text_len);
	return json_stringn(buf, (size_t)(l.at - buf));
}

static void write_json(const struct access_entry *e)
{
	json_t *o = json_object();
	char *line;

	(void)json_object_set_new(o, "kind", json_string(e->kind));
	for (unsigned int i = 0; i < e->n; i++) {
		const struct access_pair *p = &e->pairs[i];

		(void)json_object_set_new(
		    o, p->key, p->text ? json_text(p) : json_integer((json_int_t)p->number));
	}
	line = json_dumps(o, JSON_COMPACT);
	if (line)
		log_access("%s", line);
	free(line);
	json_decref(o);
}

void access_write(const struct access_entry *e, enum log_format format)
{
	char line[LINE_MAX_BYTES];

	if (format == LOG_FORMAT_JSON) {
		write_json(e);
		return;
	}
	(void)access_format_text(e, line, sizeof(line));
	log_access("%s", line);
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "entry.h"

#include <assert.h>
#include <jansson.h>
#include <string.h>

#include "../util.h"

/* Texts are not cut shorter than this. */
#define SHORTEST_TEXT 16

static const char ellipsis[] = "...";

/* ---- entries ---------------------------------------------------------------------------- */

static struct access_field *add(struct access_entry *e, const char *key)
{
	assert(e->n_fields < ACCESS_FIELDS_MAX);
	e->fields[e->n_fields].key = key;
	return &e->fields[e->n_fields++];
}

void access_begin(struct access_entry *e, const char *kind)
{
	e->kind = kind;
	e->n_fields = 0;
}

void access_text(struct access_entry *e, const char *key, const char *text)
{
	struct access_field *f = add(e, key);

	f->text = text;
	f->is_number = false;
}

void access_number(struct access_entry *e, const char *key, uint64_t number)
{
	struct access_field *f = add(e, key);

	f->number = number;
	f->is_number = true;
}

/* ---- text ------------------------------------------------------------------------------- */

/* What is written so far; length grows beyond size, as snprintf() counts. */
struct line {
	char *buf;
	size_t size, length;
};

static void put(struct line *l, char c)
{
	if (l->length + 1 < l->size)
		l->buf[l->length] = c;
	l->length++;
}

static void put_bytes(struct line *l, const char *bytes, size_t n)
{
	if (l->length < l->size)
		memcpy(l->buf + l->length, bytes, MIN(n, l->size - l->length));
	l->length += n;
}

static void put_plain(struct line *l, const char *text)
{
	put_bytes(l, text, strlen(text));
}

static void put_number(struct line *l, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + number % 10);
	while (number /= 10);
	put_bytes(l, digits + at, sizeof(digits) - at);
}

static bool is_plain(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '"' && c != '\'' && c != '\\';
}

/* At most `limit` bytes of the text are written, and "..." for the rest. */
static void put_text(struct line *l, const char *text, size_t limit)
{
	static const char hex[] = "0123456789ABCDEF";

	while (*text) {
		unsigned char c = (unsigned char)*text;
		size_t n = 0;

		while (n < limit && is_plain((unsigned char)text[n]))
			n++;
		put_bytes(l, text, n);
		limit -= n;
		text += n;
		if (n)
			continue;
		if (limit < 3) {
			put_plain(l, ellipsis);
			return;
		}
		put(l, '%');
		put(l, hex[c >> 4]);
		put(l, hex[c & 15]);
		limit -= 3;
		text++;
	}
}

static size_t format_text(const struct access_entry *e, char *buf, size_t size, size_t limit)
{
	struct line l = {.buf = buf, .size = size};

	put_plain(&l, e->kind);
	for (size_t i = 0; i < e->n_fields; i++) {
		const struct access_field *f = &e->fields[i];

		put(&l, ' ');
		put_plain(&l, f->key);
		put(&l, '=');
		if (f->is_number)
			put_number(&l, f->number);
		else
			put_text(&l, f->text ? f->text : "-", limit);
	}
	buf[MIN(l.length, size - 1)] = '\0';
	return l.length;
}

/* ---- JSON ------------------------------------------------------------------------------- */

/* The text with what is not printable ASCII as %XX, for bytes that are not UTF-8. */
static json_t *encoded(const char *text, size_t limit)
{
	char buf[LOG_TEXT_MAX];
	struct line l = {.buf = buf, .size = sizeof(buf)};

	put_text(&l, text, MIN(limit, sizeof(buf) - sizeof(ellipsis)));
	return json_stringn(buf, l.length);
}

static json_t *json_text(const char *text, size_t limit)
{
	size_t n = strnlen(text, limit + 1);
	char buf[LOG_TEXT_MAX];
	json_t *json;

	if (n > limit) {
		size_t kept = MIN(limit, sizeof(buf) - sizeof(ellipsis));

		/* Not in the middle of a character. */
		while (kept && ((unsigned char)text[kept] & 0xc0) == 0x80)
			kept--;
		memcpy(buf, text, kept);
		memcpy(buf + kept, ellipsis, sizeof(ellipsis));
		json = json_string(buf);
	} else {
		json = json_stringn(text, n);
	}
	/* DEL is fine in JSON, but the log would write it as \x7f, which is not. */
	if (!json || memchr(text, 0x7f, n)) {
		json_decref(json);
		return encoded(text, limit);
	}
	return json;
}

static json_t *json_value(const struct access_field *f, size_t limit)
{
	if (f->is_number)
		return json_integer((json_int_t)MIN(f->number, (uint64_t)INT64_MAX));
	return f->text ? json_text(f->text, limit) : json_null();
}

/* What comes before the entry's own keys, where the line says so itself. */
struct stamp {
	char time[LOG_TIME_MAX];
	const char *level; /* NULL: neither */
};

static size_t format_json(const struct access_entry *e, const struct stamp *stamp, char *buf,
			  size_t size, size_t limit)
{
	json_t *object = json_object();
	size_t n;

	if (stamp->level) {
		(void)json_object_set_new(object, "time", json_string(stamp->time));
		(void)json_object_set_new(object, "level", json_string(stamp->level));
	}
	(void)json_object_set_new(object, "kind", json_string(e->kind));
	for (size_t i = 0; i < e->n_fields; i++)
		(void)json_object_set_new(object, e->fields[i].key,
					  json_value(&e->fields[i], limit));
	n = json_dumpb(object, buf, size - 1, JSON_COMPACT | JSON_ENSURE_ASCII);
	buf[MIN(n, size - 1)] = '\0';
	json_decref(object);
	return n;
}

/* ---- lines ------------------------------------------------------------------------------ */

static size_t format(const struct access_entry *e, enum log_format format,
		     const struct stamp *stamp, char *buf, size_t size)
{
	size_t limit = size, n;

	for (;; limit /= 2) {
		n = format == LOG_FORMAT_JSON ? format_json(e, stamp, buf, size, limit)
					      : format_text(e, buf, size, limit);
		if (n < size)
			return n;
		if (limit <= SHORTEST_TEXT)
			return size - 1;
	}
}

size_t access_format(const struct access_entry *e, enum log_format how, char *buf, size_t size)
{
	const struct stamp none = {.level = NULL};

	return format(e, how, &none, buf, size);
}

size_t access_format_stamped(const struct access_entry *e, const char *level, char *buf,
			     size_t size)
{
	struct stamp stamp = {.level = level};

	(void)log_time(stamp.time);
	return format(e, LOG_FORMAT_JSON, &stamp, buf, size);
}

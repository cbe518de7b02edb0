// SPDX-License-Identifier: GPL-2.0-or-later
#include "exposition.h"

#include <stdio.h>
#include <string.h>

#include "../histogram.h"
#include "../util.h"

/* ---- labels ----------------------------------------------------------------------------- */

/* The bytes of the character at `s` if it is one of UTF-8, else 0 (RFC 3629). */
static size_t utf8_len(const unsigned char *s)
{
	static const struct {
		unsigned char from, to;  /* the first byte */
		unsigned char low, high; /* the second one */
		size_t len;
	} forms[] = {
	    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
	    {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
	    {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	if (s[0] < 0x80)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		size_t n = 2;

		if (s[0] < forms[i].from || s[0] > forms[i].to)
			continue;
		if (s[1] < forms[i].low || s[1] > forms[i].high)
			return 0;
		while (n < forms[i].len && (s[n] & 0xc0) == 0x80)
			n++;
		return n == forms[i].len ? n : 0;
	}
	return 0;
}

/* A text as a label's value; false: it does not fit. */
static bool add_escaped(char *buf, size_t size, const char *value)
{
	const unsigned char *s = (const unsigned char *)value;
	size_t at = 0, len;

	for (; *s; s += MAX(len, (size_t)1)) {
		len = utf8_len(s);
		if (at + 5 > size)
			return false;
		if (*s == '\\' || *s == '"' || *s == '\n') {
			buf[at++] = '\\';
			buf[at++] = *s == '\n' ? 'n' : (char)*s;
		} else if (!len) {
			buf[at++] = '?';
		} else {
			memcpy(buf + at, s, len);
			at += len;
		}
	}
	buf[at] = '\0';
	return true;
}

void label_add(char *buf, size_t size, const char *name, const char *value)
{
	size_t at = strlen(buf), from = at;
	int n = snprintf(buf + at, size - at, "%s%s=\"", at ? "," : "", name);

	at += (size_t)n;
	if (at + 2 < size && add_escaped(buf + at, size - at - 1, value))
		memcpy(buf + at + strlen(buf + at), "\"", 2);
	else
		buf[from] = '\0';
}

/* ---- the text --------------------------------------------------------------------------- */

/* Room for `len` bytes more; NULL: there is none. They count once they are written. */
static char *make_room(struct exposition *e, size_t len)
{
	size_t room = MAX(e->room * 2, e->len + len + 16384);
	char *bigger;

	if (e->failed)
		return NULL;
	if (e->room - e->len >= len)
		return e->data + e->len;
	bigger = realloc(e->data, room);
	if (!bigger) {
		e->failed = true;
		return NULL;
	}
	e->data = bigger;
	e->room = room;
	return bigger + e->len;
}

static void put_bytes(struct exposition *e, const char *data, size_t len)
{
	char *to = make_room(e, len);

	if (!to)
		return;
	memcpy(to, data, len);
	e->len += len;
}

static void put(struct exposition *e, const char *text)
{
	put_bytes(e, text, strlen(text));
}

/* At least `width` digits, with zeros in front. */
static void put_digits(struct exposition *e, uint64_t n, size_t width)
{
	char digits[24], *end = digits + sizeof(digits), *at = end;

	while (n || at > end - MAX(width, (size_t)1)) {
		*--at = (char)('0' + n % 10);
		n /= 10;
	}
	put_bytes(e, at, (size_t)(end - at));
}

static void put_value(struct exposition *e, uint64_t value)
{
	put(e, " ");
	put_digits(e, value, 1);
	put(e, "\n");
}

/* ---- metrics ---------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len >= n && strcmp(text + len - n, end) == 0;
}

void metric_begin(struct metric *m, struct exposition *out, const char *name, const char *type,
		  const char *help)
{
	bool counter = strcmp(type, "counter") == 0;

	m->out = out;
	(void)snprintf(m->name, sizeof(m->name), "%s%s", name,
		       counter && !ends_with(name, "_total") ? "_total" : "");
	put(out, "# HELP ");
	put(out, m->name);
	put(out, " ");
	for (; *help; help++) {
		if (*help == '\\' || *help == '\n')
			put(out, "\\");
		put_bytes(out, *help == '\n' ? "n" : help, 1);
	}
	put(out, "\n# TYPE ");
	put(out, m->name);
	put(out, " ");
	put(out, type);
	put(out, "\n");
}

static void series(const struct metric *m, const char *suffix, const char *labels, const char *more)
{
	put(m->out, m->name);
	put(m->out, suffix);
	more = more ? more : "";
	if (!*labels && !*more)
		return;
	put(m->out, "{");
	put(m->out, labels);
	put(m->out, *labels && *more ? "," : "");
	put(m->out, more);
	put(m->out, "}");
}

void metric_uint(const struct metric *m, const char *labels, const char *more, uint64_t value)
{
	series(m, "", labels, more);
	put_value(m->out, value);
}

void metric_double(const struct metric *m, const char *labels, double value)
{
	char text[64];

	(void)snprintf(text, sizeof(text), " %.9f\n", value);
	series(m, "", labels, NULL);
	put(m->out, text);
}

/* As the label of a bound has it: in seconds, whole ones or with the digits that there are. */
static const char *format_bound(uint64_t ns, char buf[40])
{
	(void)snprintf(buf, 40, "le=\"%g\"", (double)ns / 1e9);
	return buf;
}

void metric_histogram(const struct metric *m, const char *labels, const struct histogram *h,
		      uint64_t from_ns, uint64_t to_ns)
{
	uint64_t n = 0;
	char bound[40];

	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		n += h->counts[i];
		if (histogram_bounds[i] < from_ns || histogram_bounds[i] > to_ns)
			continue;
		series(m, "_bucket", labels, format_bound(histogram_bounds[i], bound));
		put_value(m->out, n);
	}
	n += h->counts[HISTOGRAM_BOUNDS];
	series(m, "_bucket", labels, "le=\"+Inf\"");
	put_value(m->out, n);
	series(m, "_sum", labels, NULL);
	put(m->out, " ");
	put_digits(m->out, h->sum_ns / NSEC_PER_SEC, 1);
	put(m->out, ".");
	put_digits(m->out, h->sum_ns % NSEC_PER_SEC, 9);
	put(m->out, "\n");
	series(m, "_count", labels, NULL);
	put_value(m->out, n);
}

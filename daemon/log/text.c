// SPDX-License-Identifier: GPL-2.0-or-later
#include "text.h"

#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "entry.h"
#include "journal.h"
#include "sink.h"

static const int priorities[_LOG_LVL_MAX] = {
    [LOG_LVL_ERROR] = LOG_ERR,
    [LOG_LVL_WARNING] = LOG_WARNING,
    [LOG_LVL_INFO] = LOG_INFO,
    [LOG_LVL_DEBUG] = LOG_DEBUG,
};

/*
 * Copies text into out with every byte that is not printable ASCII as \xNN: what a peer sent
 * (a host name, a path) must neither start a line of its own nor steer a terminal.
 */
static size_t escape(char *out, size_t size, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	static const char cut[] = "...";
	size_t n = 0;

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (n + 4 + sizeof(cut) > size) {
			memcpy(out + n, cut, sizeof(cut));
			return n + sizeof(cut) - 1;
		}
		if (c >= 0x20 && c < 0x7f) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	out[n] = '\0';
	return n;
}

/* What comes before the text; json: it says time and level itself. */
static size_t prefix(char *out, size_t size, enum sink_style style, enum log_level level, bool json)
{
	size_t n, width = strlen(log_level_str[level]);

	if (style == SINK_PREFIXED)
		return (size_t)snprintf(out, size, "<%d>", priorities[level]);
	if (style == SINK_BARE || style == SINK_RECORD || json)
		return 0;
	n = log_time(out);
	out[n++] = ' ';
	memcpy(out + n, log_level_str[level], width);
	n += width;
	out[n++] = ' ';
	return n;
}

static bool put_record(struct sink *s, const struct log_text *t, const char *text, size_t len)
{
	char record[JOURNAL_RECORD_MAX];

	len = journal_format(priorities[t->level], text, len, t->about, record);
	return sink_put(s, record, len, t->hurry);
}

bool log_text_put(struct sink *s, const struct log_text *t)
{
	enum sink_style style = sink_style(s);
	char line[LOG_LINE_MAX];
	size_t n = prefix(line, sizeof(line), style, t->level, t->json);

	n += escape(line + n, sizeof(line) - n - 1, t->text);
	if (style == SINK_RECORD)
		return put_record(s, t, line, n);
	if (style != SINK_BARE)
		line[n++] = '\n';
	return sink_put(s, line, n, t->hurry);
}

bool log_text_put_json(struct sink *s, const struct log_text *t)
{
	struct log_text object = *t;
	char text[LOG_TEXT_MAX];
	struct access_entry e;

	access_begin(&e, "message");
	access_text(&e, "message", t->text);
	(void)access_format_stamped(&e, log_level_str[t->level], text, sizeof(text));
	object.text = text;
	object.json = true;
	return log_text_put(s, &object);
}

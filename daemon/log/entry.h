/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An entry of the access log is a kind and fields in the order they were added, and becomes one
 * line:
 *
 *     session id=1 client=127.0.0.1:45510 ... end=done
 *     {"time":"2026-11-25T18:40:34.562Z","level":"info","kind":"session","id":1,...,"end":"done"}
 *
 * A line of text is made without allocating. Keys and strings are not copied: they must live until
 * the entry is written.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "line.h"

#define ACCESS_FIELDS_MAX 32

struct access_field {
	const char *key;
	const char *text; /* NULL with is_number unset: there is none */
	uint64_t number;
	bool is_number;
};

struct access_entry {
	const char *kind;
	size_t n_fields;
	struct access_field fields[ACCESS_FIELDS_MAX];
};

void access_begin(struct access_entry *e, const char *kind);
void access_text(struct access_entry *e, const char *key, const char *text);
void access_number(struct access_entry *e, const char *key, uint64_t number);

/*
 * Writes the entry and a NUL; returns the line's length. Where it does not fit, the longest texts
 * are cut and end in "...", so that every field stays.
 *
 * LOG_FORMAT_TEXT: a blank, quote, backslash or byte that is not printable ASCII is %XX in a text;
 * a percent sign is itself, so that what a client had encoded (a path) stays as it was.
 * LOG_FORMAT_JSON: the same for a text that is not UTF-8 or has a DEL.
 */
size_t access_format(const struct access_entry *e, enum log_format format, char *buf, size_t size);

/* As JSON, with the time and the level as the first keys. */
size_t access_format_stamped(const struct access_entry *e, const char *level, char *buf,
			     size_t size);

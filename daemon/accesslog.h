/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines of the access log: pairs of a key and a value, put together in order and written as
 * `kind key=value ...`, or as a JSON object. No memory is allocated for a line of text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

#define ACCESS_PAIRS 32

struct access_pair {
	const char *key;
	const char *text; /* NULL: it is a number; of text_len bytes, which need not be printable */
	size_t text_len;
	uint64_t number;
};

struct access_entry {
	const char *kind; /* "session" or "request" */
	struct access_pair pairs[ACCESS_PAIRS];
	unsigned int n;
};

/* What an entry is told is read when it is written, so it must live until then. */
void access_text(struct access_entry *e, const char *key, const char *text);
void access_bytes(struct access_entry *e, const char *key, const char *text, size_t len);
void access_number(struct access_entry *e, const char *key, uint64_t number);

/* Writes one line. Text that is empty is "-"; blanks, quotes, backslashes, % and bytes that do not
 * print are percent-encoded in a text line. */
void access_write(const struct access_entry *e, enum log_format format);
/* The same into a buffer, for tests; returns its length without the NUL, cut to fit. */
size_t access_format_text(const struct access_entry *e, char *buf, size_t size);

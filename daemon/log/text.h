/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A text that is to be a line of the log, and how each sink has it. */
#pragma once

#include <stdbool.h>

#include "line.h"

struct access_entry;
struct sink;

struct log_text {
	enum log_level level;
	const char *text;
	const struct access_entry *about; /* fields of the journal */
	bool json, hurry;
};

/* As the sink has its lines, with each byte that is not printable ASCII as \xNN. False: it is lost.
 */
bool log_text_put(struct sink *s, const struct log_text *t);
/* The same, for a stream of JSON objects: in one of those. */
bool log_text_put_json(struct sink *s, const struct log_text *t);

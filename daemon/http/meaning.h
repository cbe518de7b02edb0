/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fields of a head that mean something to a proxy: what they say, and what they may not. */
#pragma once

#include "head.h"

/* A head that is being parsed. */
struct head_parser {
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

/* What a field says to a proxy, if it is one that does. 0 or -enum http_error. */
int head_field_meaning(struct head_parser *p, const struct http_field *f);
/* What only the whole head says: all lines are there. 0 or -enum http_error. */
int head_whole_meaning(struct head_parser *p);

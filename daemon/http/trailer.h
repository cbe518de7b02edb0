/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which trailer fields pass. Who reads them may merge them with the head's (RFC 9110 6.5.1), so
 * they say nothing that the head is trusted with: where a message comes from and goes to, who sends
 * it, how it is framed and to be read.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "head.h"

struct trailer_rules {
	const char *request_id; /* the name of the listener's field; "" or NULL: none */
	bool no_underscores;    /* names with one do not pass */
	char *options;          /* what the head's Connection fields name, with commas; owned */
	size_t options_len;
};

/* Empties *t, and takes over what the head says. 0 or -ENOMEM. */
int trailer_rules_set(struct trailer_rules *t, const struct http_head *head, const char *in);
void trailer_rules_fini(struct trailer_rules *t);
/* line[len] was accepted by http_field_parse(). t may be NULL. */
bool trailer_may_pass(const struct trailer_rules *t, const char *line, size_t len);

/* Is it the name of a field by which somebody proves who they are? */
bool name_is_credential(const char *name, size_t len);

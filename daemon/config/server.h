/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The value of `server =`: NAME ADDRESS and the options of section SERVER. */
#pragma once

#include "table.h"
#include "text.h"

/*
 * Parses ADDRESS: what addr_parse() takes (but port 0), HOST:PORT or internal:hello. Returns 0,
 * -ENOMEM, or -EINVAL and sets *why to a static phrase. On failure *ret is untouched.
 */
int endpoint_parse(const char *text, struct endpoint *ret, const char **why);

/* Parses a whole line. Returns 0, -ENOMEM, or -EINVAL with the reason added; *ret is untouched. */
int server_parse(const char *text, struct server_config *ret, struct text *why);
void server_format(const struct server_config *s, FILE *out);
/* Frees what the server owns, not the struct itself. */
void server_clear(struct server_config *s);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options with several values. */
#pragma once

#include "table.h"
#include "text.h"

/*
 * Appends the items of `text` to the option's list: all of them or, on an error, those before the
 * bad one. Returns 0, -ENOMEM, or -EINVAL with the reason added to *why.
 */
int list_parse(const struct option *o, const char *text, void *base, struct text *why);
/* Frees the items: the list is empty. */
void list_clear(const struct option *o, void *base);
/* Writes item i the way list_parse() reads it. */
void list_format(const struct option *o, const void *base, size_t i, FILE *out);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Single values as text. */
#pragma once

#include "table.h"
#include "text.h"

/* Whether the option has one value, and no list. */
bool value_is_single(const struct option *o);
/*
 * Parses `text` into the option's field of `base`, the section's struct; a string that is there is
 * freed. Returns 0, -ENOMEM, or -EINVAL with the reason added to *why and the field as it was.
 */
int value_set(const struct option *o, void *base, const char *text, struct text *why);
/* Sets every option of the section that has a default. Those of lists are empty. */
int value_set_defaults(enum section section, void *base);
/* Writes it the way value_set() reads it. */
void value_format(const struct option *o, const void *base, FILE *out);

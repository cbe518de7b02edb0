/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How an option gets from text into the configuration, and back. */
#pragma once

#include "table.h"
#include "text.h"

/* Adds what a value may be: "auto, or 1 to 256". */
void option_add_allowed(const struct option *o, struct text *t);

/*
 * Parses `text` into the option's field of `base`, the section's struct; the items of a list are
 * appended. Returns 0, -ENOMEM, or -EINVAL with the reason added to *why ("\"x\" is not a number").
 */
int option_set(const struct option *o, void *base, const char *text, struct text *why);
/* Writes value number i the way option_set() reads it. */
void option_format(const struct option *o, const void *base, size_t i, FILE *out);

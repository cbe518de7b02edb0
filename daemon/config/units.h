/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers, and those with units: durations in nanoseconds, sizes in bytes. */
#pragma once

#include "table.h"
#include "text.h"

/* Takes the leading digits; *rest is what follows. A number beyond 64 bits is UINT64_MAX. */
bool units_take_number(const char *text, int base, uint64_t *n, const char **rest);
/* Whether the option may be so much. */
bool units_in_range(const struct option *o, uint64_t n);

/* As in value.h. */
int units_parse_duration(const struct option *o, const char *text, void *field, struct text *why);
int units_parse_size(const struct option *o, const char *text, void *field, struct text *why);

/* The text of a number of nanoseconds or bytes, in the largest unit that divides it. */
#define UNITS_STR_MAX 32
const char *units_format_duration(uint64_t ns, char buf[UNITS_STR_MAX]);
const char *units_format_size(uint64_t bytes, char buf[UNITS_STR_MAX]);

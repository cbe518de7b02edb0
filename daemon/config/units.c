/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* Smallest first. */
static const struct unit durations[] = {
    {"ms", NSEC_PER_MSEC},      {"s", NSEC_PER_SEC},         {"m", 60 * NSEC_PER_SEC},
    {"h", 3600 * NSEC_PER_SEC}, {"d", 86400 * NSEC_PER_SEC},
};
static const struct unit sizes[] = {
    {"", 1},
    {"K", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
};

/* Takes the leading digits; *rest is what follows. A number beyond 64 bits is UINT64_MAX. */
bool units_take_number(const char *text, int base, uint64_t *n, const char **rest)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;

	*n = strtoull(text, &end, base);
	*rest = end;
	return true;
}

bool units_in_range(const struct option *o, uint64_t n)
{
	return n >= o->min && n <= o->max;
}

/* A number and one of the units. Returns -EINVAL with the reason added. */
static int parse_scaled(const struct option *o, const char *text, const struct unit *units,
			size_t n_units, uint64_t *ret, struct text *why)
{
	const char *suffix;
	uint64_t n;

	if (!units_take_number(text, 10, &n, &suffix))
		return text_invalid(why, text, "is not a whole number with a unit");

	for (size_t i = 0; i < n_units; i++) {
		if (strcmp(suffix, units[i].suffix) != 0)
			continue;
		if (__builtin_mul_overflow(n, units[i].factor, &n) || !units_in_range(o, n))
			return text_invalid(why, text, "is out of range");
		*ret = n;
		return 0;
	}

	if (!*suffix)
		return text_invalid(why, text, "has no unit");
	return text_invalid(why, text, "is not a whole number with a unit");
}

int units_parse_duration(const struct option *o, const char *text, void *field, struct text *why)
{
	/* Zero is zero in every unit. */
	if (strcmp(text, "0") == 0)
		text = "0s";
	return parse_scaled(o, text, durations, ARRAY_SIZE(durations), field, why);
}

int units_parse_size(const struct option *o, const char *text, void *field, struct text *why)
{
	if (o->word && strcmp(text, o->word) == 0) {
		*(uint64_t *)field = o->word_value;
		return 0;
	}
	return parse_scaled(o, text, sizes, ARRAY_SIZE(sizes), field, why);
}

static const char *format_scaled(uint64_t n, const struct unit *units, size_t n_units,
				 char buf[UNITS_STR_MAX])
{
	const struct unit *best = units;

	for (size_t i = 1; i < n_units; i++)
		if (n % units[i].factor == 0)
			best = &units[i];

	(void)snprintf(buf, UNITS_STR_MAX, "%" PRIu64 "%s", n / best->factor,
		       n == 0 ? "" : best->suffix);
	return buf;
}

const char *units_format_duration(uint64_t ns, char buf[UNITS_STR_MAX])
{
	return format_scaled(ns, durations, ARRAY_SIZE(durations), buf);
}

const char *units_format_size(uint64_t bytes, char buf[UNITS_STR_MAX])
{
	return format_scaled(bytes, sizes, ARRAY_SIZE(sizes), buf);
}

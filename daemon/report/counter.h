/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of counters.h, for who goes through them. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct stats;

enum counter_type { COUNTER_COUNTER, COUNTER_GAUGE };

struct counter {
	const char *name, *help;
	enum counter_type type;
	size_t offset;            /* in struct stats */
	const char *const *names; /* of a family's values; NULL: it is a single one */
	size_t n_names;
};

extern const struct counter counters[];
extern const size_t n_counters;

/* The value, or of a family the one of names[i]. */
uint64_t counter_value(const struct counter *c, const struct stats *stats, size_t i);
/* Adds the values of one worker to those of others. */
void counter_sum(struct stats *sum, const struct stats *one);
/* Writes the table of docs/operations.md: those that are no family. */
void counter_print(FILE *out);

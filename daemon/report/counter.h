/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of counters.h, for who goes through them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct histogram;

enum counter_type { COUNTER_COUNTER, COUNTER_GAUGE, COUNTER_HISTOGRAM };

struct counter {
	const char *name, *help;
	enum counter_type type;
	size_t offset;            /* in its struct */
	const char *label;        /* of a family: what is called by `names`; NULL: those say it */
	const char *const *names; /* of a family's values; NULL: it is a single one */
	size_t n_names;
	bool http;               /* of listeners and servers: nothing else counts it */
	uint64_t from_ns, to_ns; /* of a histogram: the bounds that are told */
};

/* Of struct stats, of struct listener_stats and of struct server_stats. */
extern const struct counter counters[], listener_counters[], server_counters[];
extern const size_t n_counters, n_listener_counters, n_server_counters;

/* The value, or of a family the one of names[i], in the struct that the row is of. */
uint64_t counter_value(const struct counter *c, const void *stats, size_t i);
const struct histogram *counter_histogram(const struct counter *c, const void *stats);
/* Adds the values of one worker to those of others, `size` bytes of them. */
void counter_sum(void *sum, const void *one, size_t size);
/* Writes the table of docs/operations.md: those that are no family. */
void counter_print(FILE *out);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text that Prometheus reads (format 0.0.4). A metric is begun once, and all of its series
 * follow. Labels are texts like `pool="main",server="a"`; "" is none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct histogram;

/* The text; all zero at first. Thousands of lines are written several times a minute: stdio would
 * take three times as long. */
struct exposition {
	char *data; /* malloc'ed, not ended by a NUL */
	size_t len, room;
	bool failed; /* out of memory: what it has is of no use */
};

struct metric {
	struct exposition *out;
	char name[80];
};

/* `type` is counter, gauge or histogram. A counter's name gets the _total that it lacks. */
void metric_begin(struct metric *m, struct exposition *out, const char *name, const char *type,
		  const char *help);
/* One series; `more` is further labels, "" or NULL for none. */
void metric_uint(const struct metric *m, const char *labels, const char *more, uint64_t value);
void metric_double(const struct metric *m, const char *labels, double value);
/* The series of a histogram, with the bounds between these two, in seconds. */
void metric_histogram(const struct metric *m, const char *labels, const struct histogram *h,
		      uint64_t from_ns, uint64_t to_ns);

/* Adds name="value" to labels in buf, behind a comma if there are some; what does not fit is left
 * out as a whole. What is no UTF-8 becomes '?'. */
void label_add(char *buf, size_t size, const char *name, const char *value);

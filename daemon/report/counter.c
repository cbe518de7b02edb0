// SPDX-License-Identifier: GPL-2.0-or-later
#include "counter.h"

#include <assert.h>

#include "../bypass/side.h"
#include "../http/error.h"
#include "../http/exchange.h"
#include "../session.h"
#include "../splice/maps.h"
#include "../splice/stream.h"
#include "../stats.h"
#include "../util.h"

static const char *const status_class_str[] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};
#define _STATUS_CLASS_MAX ARRAY_SIZE(status_class_str)

#define ROW(field, text, kind) \
	.name = #field, .help = (text), .type = (kind), .offset = offsetof(struct stats, field)
#define COUNTER(field, text) {ROW(field, text, COUNTER_COUNTER)},
#define GAUGE(field, text)   {ROW(field, text, COUNTER_GAUGE)},
#define FAMILY(field, str, n, text) \
	{ROW(field, text, COUNTER_COUNTER), .names = (str), .n_names = (n)},
const struct counter counters[] = {
#include "../counters.h"
};
#undef COUNTER
#undef GAUGE
#undef FAMILY

#define COUNTER(field, text)
#define GAUGE(field, text)
#define FAMILY(field, str, n, text) \
	static_assert((n) <= STATS_VALUES_MAX, #field ": a counter for every value");
#include "../counters.h"
#undef COUNTER
#undef GAUGE
#undef FAMILY

const size_t n_counters = ARRAY_SIZE(counters);

static const uint64_t *values(const struct stats *stats)
{
	return (const uint64_t *)(const void *)stats;
}

uint64_t counter_value(const struct counter *c, const struct stats *stats, size_t i)
{
	return values(stats)[c->offset / sizeof(uint64_t) + i];
}

void counter_sum(struct stats *sum, const struct stats *one)
{
	uint64_t *to = (uint64_t *)(void *)sum;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += stat_read(&values(one)[i]);
}

void counter_print(FILE *out)
{
	fprintf(out, "| Counter | Meaning |\n| --- | --- |\n");
	for (size_t i = 0; i < n_counters; i++)
		if (!counters[i].names)
			fprintf(out, "| `%s` | %s |\n", counters[i].name, counters[i].help);
}

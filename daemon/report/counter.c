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

static const char *const status_class_str[_STATUS_CLASS_MAX] = {"other", "1xx", "2xx",
								"3xx",   "4xx", "5xx"};
static const char *const moved_by_str[_MOVED_BY_MAX] = {[MOVED_BY_NONE] = "none",
							[MOVED_BY_COPY] = "copy",
							[MOVED_BY_KERNEL] = "kernel",
							[MOVED_BY_BYPASS] = "bypass"};
static const char *const bytes_labels[_BYTES_OF_MAX] = {
    [BYTES_UP_COPY] = "direction=\"up\",engine=\"copy\"",
    [BYTES_UP_KERNEL] = "direction=\"up\",engine=\"kernel\"",
    [BYTES_UP_BYPASS] = "direction=\"up\",engine=\"bypass\"",
    [BYTES_DOWN_COPY] = "direction=\"down\",engine=\"copy\"",
    [BYTES_DOWN_KERNEL] = "direction=\"down\",engine=\"kernel\"",
    [BYTES_DOWN_BYPASS] = "direction=\"down\",engine=\"bypass\"",
};

#define ROW(of, field, text, kind) \
	.name = #field, .help = (text), .type = (kind), .offset = offsetof(struct of, field)
#define FAMILY_ROW(of, field, h, l, str, n, text)                                          \
	{ROW(of, field, text, COUNTER_COUNTER), .http = (h), .label = (l), .names = (str), \
	 .n_names = (n)},
#define TIMES_ROW(of, field, h, from, to, text)                                                   \
	{ROW(of, field, text, COUNTER_HISTOGRAM), .http = (h), .from_ns = (uint64_t)((from)*1e9), \
	 .to_ns = (uint64_t)((to)*1e9)},

const struct counter counters[] = {
#define COUNTER(field, text)           {ROW(stats, field, text, COUNTER_COUNTER)},
#define GAUGE(field, text)             {ROW(stats, field, text, COUNTER_GAUGE)},
#define FAMILY(field, l, str, n, text) FAMILY_ROW(stats, field, false, l, str, n, text)
#include "../counters.h"
};
const size_t n_counters = ARRAY_SIZE(counters);

const struct counter listener_counters[] = {
#define LISTENER_FAMILY(field, http, l, str, n, text) \
	FAMILY_ROW(listener_stats, field, http, l, str, n, text)
#define LISTENER_TIMES(field, http, from, to, text) \
	TIMES_ROW(listener_stats, field, http, from, to, text)
#include "../counters.h"
};
const size_t n_listener_counters = ARRAY_SIZE(listener_counters);

const struct counter server_counters[] = {
#define SERVER_FAMILY(field, http, l, str, n, text) \
	FAMILY_ROW(server_stats, field, http, l, str, n, text)
#define SERVER_TIMES(field, http, from, to, text) \
	TIMES_ROW(server_stats, field, http, from, to, text)
#include "../counters.h"
};
const size_t n_server_counters = ARRAY_SIZE(server_counters);

#define FAMILY(field, l, str, n, text) \
	static_assert((n) <= STATS_VALUES_MAX, #field ": a counter for every value");
#include "../counters.h"

uint64_t counter_value(const struct counter *c, const void *stats, size_t i)
{
	return ((const uint64_t *)stats)[c->offset / sizeof(uint64_t) + i];
}

const struct histogram *counter_histogram(const struct counter *c, const void *stats)
{
	return (const void *)((const char *)stats + c->offset);
}

void counter_sum(void *sum, const void *one, size_t size)
{
	const uint64_t *from = one;
	uint64_t *to = sum;

	for (size_t i = 0; i < size / sizeof(*to); i++)
		to[i] += stat_read(&from[i]);
}

void counter_print(FILE *out)
{
	fprintf(out, "| Counter | Meaning |\n| --- | --- |\n");
	for (size_t i = 0; i < n_counters; i++)
		if (!counters[i].names)
			fprintf(out, "| `%s` | %s |\n", counters[i].name, counters[i].help);
}

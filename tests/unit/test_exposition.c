/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text for Prometheus: names, labels and what must be escaped in them, histograms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../daemon/histogram.h"
#include "../../daemon/report/exposition.h"
#include "../../daemon/stats.h"
#include "../../daemon/util.h"

#define US(n) ((n)*NSEC_PER_USEC)
#define MS(n) ((n)*NSEC_PER_MSEC)

/* ---- what is written ---- */

static void assert_text(const struct exposition *e, const char *want)
{
	assert_false(e->failed);
	assert_int_equal(e->len, strlen(want));
	assert_memory_equal(e->data, want, e->len);
	free(e->data);
}

static void test_series(void **state _unused_)
{
	struct metric m;
	struct exposition t = {0};

	metric_begin(&m, &t, "spliced_things", "counter", "back\\slash,\nnew \"line\"");
	metric_uint(&m, "", NULL, 0);
	metric_uint(&m, "a=\"b\"", "", UINT64_MAX);
	metric_uint(&m, "a=\"b\"", "c=\"d\"", 1);
	metric_uint(&m, "", "c=\"d\"", 2);
	metric_begin(&m, &t, "spliced_it_total", "counter", "");
	metric_uint(&m, "", NULL, 3);
	metric_begin(&m, &t, "spliced_now", "gauge", "it");
	metric_double(&m, "", 0.25);
	assert_text(&t, "# HELP spliced_things_total back\\\\slash,\\nnew \"line\"\n"
			"# TYPE spliced_things_total counter\n"
			"spliced_things_total 0\n"
			"spliced_things_total{a=\"b\"} 18446744073709551615\n"
			"spliced_things_total{a=\"b\",c=\"d\"} 1\n"
			"spliced_things_total{c=\"d\"} 2\n"
			"# HELP spliced_it_total \n"
			"# TYPE spliced_it_total counter\n"
			"spliced_it_total 3\n"
			"# HELP spliced_now it\n"
			"# TYPE spliced_now gauge\n"
			"spliced_now 0.250000000\n");
}

static void test_labels(void **state _unused_)
{
	static const struct {
		const char *value, *want;
	} cases[] = {
	    {"", "a=\"\""},
	    {"plain_1.2-3", "a=\"plain_1.2-3\""},
	    {"q\"b\\n\n", "a=\"q\\\"b\\\\n\\n\""},
	    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82", "a=\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82\""},
	    {"\xff.\xc3.\xc0\xaf.", "a=\"?.?.??.\""},     /* not in UTF-8; overlong */
	    {"\xed\xa0\x80", "a=\"???\""},                /* half of a surrogate pair */
	    {"\xf4\x90\x80\x80\xe2\x82", "a=\"??????\""}, /* beyond Unicode; cut */
	    {"\xc3\"", "a=\"?\\\"\""},                    /* what follows stays itself */
	};
	char buf[64];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf[0] = '\0';
		label_add(buf, sizeof(buf), "a", cases[i].value);
		assert_string_equal(buf, cases[i].want);
	}
	(void)strcpy(buf, "a=\"b\"");
	label_add(buf, sizeof(buf), "c", "d");
	assert_string_equal(buf, "a=\"b\",c=\"d\"");
}

/* A label that does not fit is not there at all, whatever the room is. */
static void test_labels_room(void **state _unused_)
{
	char buf[64];

	for (size_t size = 6; size < 40; size++) {
		memset(buf, 'x', sizeof(buf));
		(void)strcpy(buf, "a=\"b\"");
		label_add(buf, size, "c", "1234567890\"\"\"");
		assert_true(strcmp(buf, "a=\"b\"") == 0 ||
			    strcmp(buf, "a=\"b\",c=\"1234567890\\\"\\\"\\\"\"") == 0);
		assert_true(strlen(buf) < size);
		for (size_t i = size; i < sizeof(buf); i++)
			assert_int_equal(buf[i], 'x');
	}
	assert_int_equal(strlen(buf), 5 + 21);
}

/* ---- histograms ---- */

static void test_bounds(void **state _unused_)
{
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		uint64_t b = histogram_bounds[i];

		assert_true(!i || b > histogram_bounds[i - 1]);
		assert_int_equal(histogram_index(b - 1), i);
		assert_int_equal(histogram_index(b), i);
		assert_int_equal(histogram_index(b + 1), i + 1);
	}
	assert_int_equal(histogram_index(0), 0);
	assert_int_equal(histogram_index(UINT64_MAX), HISTOGRAM_BOUNDS);
	assert_int_equal(histogram_bounds[0], US(100));
	assert_int_equal(histogram_bounds[HISTOGRAM_BOUNDS - 1], 10000 * NSEC_PER_SEC);
}

static void test_histogram(void **state _unused_)
{
	struct histogram h = {0};
	struct metric m;
	struct exposition t = {0};

	stat_time(&h, US(50)); /* below the first bound that is told */
	stat_time(&h, MS(1));  /* up to and including */
	stat_time(&h, MS(1) + 1);
	stat_time(&h, MS(7));
	stat_time(&h, 40000 * NSEC_PER_SEC);
	metric_begin(&m, &t, "x_seconds", "histogram", "h");
	metric_histogram(&m, "l=\"1\"", &h, MS(1), MS(10));
	metric_histogram(&m, "", &(struct histogram){0}, MS(10), MS(10));
	assert_text(&t, "# HELP x_seconds h\n"
			"# TYPE x_seconds histogram\n"
			"x_seconds_bucket{l=\"1\",le=\"0.001\"} 2\n"
			"x_seconds_bucket{l=\"1\",le=\"0.0025\"} 3\n"
			"x_seconds_bucket{l=\"1\",le=\"0.005\"} 3\n"
			"x_seconds_bucket{l=\"1\",le=\"0.01\"} 4\n"
			"x_seconds_bucket{l=\"1\",le=\"+Inf\"} 5\n"
			"x_seconds_sum{l=\"1\"} 40000.009050001\n"
			"x_seconds_count{l=\"1\"} 5\n"
			"x_seconds_bucket{le=\"0.01\"} 0\n"
			"x_seconds_bucket{le=\"+Inf\"} 0\n"
			"x_seconds_sum 0.000000000\n"
			"x_seconds_count 0\n");
}

/* What histogram_quantile() of Prometheus makes of it, in seconds. */
static double quantile(const struct histogram *h, double q)
{
	double total = 0, below = 0, low = 0;

	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
		total += (double)h->counts[i];
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		double high = (double)histogram_bounds[i] / 1e9, n = (double)h->counts[i];

		if (below + n >= q * total)
			return low + (high - low) * (q * total - below) / n;
		below += n;
		low = high;
	}
	return low;
}

/* Three bounds to a power of ten: a quantile is wrong by a factor of 2.5 at most. */
static void test_quantiles(void **state _unused_)
{
	static const double quantiles[] = {0.1, 0.5, 0.9, 0.99};
	uint64_t seed = 1;

	for (int run = 0; run < 20; run++) {
		enum { N = 10000 };
		struct histogram h = {0};
		/* Evenly from 0 to a most that differs. */
		uint64_t most = MS(1) << run;

		for (int i = 0; i < N; i++) {
			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
			stat_time(&h,
				  (uint64_t)((double)(seed >> 33) / 2147483648.0 * (double)most));
		}
		for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++) {
			double want = quantiles[i] * (double)most / 1e9;
			double got = quantile(&h, quantiles[i]);

			assert_true(got < want * 2.5 && got > want / 2.5);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_series),      cmocka_unit_test(test_labels),
	    cmocka_unit_test(test_labels_room), cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_histogram),   cmocka_unit_test(test_quantiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

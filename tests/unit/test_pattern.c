/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The content of the load tool's streams: what it is, and that each kind of damage is seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../load/pattern.h"

#define SEED UINT64_C(0x0123456789abcdef)
#define SIZE 4096

static struct pattern stream(uint32_t number, enum pattern_dir dir)
{
	struct pattern p;

	pattern_init(&p, SEED, number, dir);
	return p;
}

static void test_head_names_the_stream(void **state)
{
	struct pattern p = stream(70000, PATTERN_BY_ACCEPT);
	enum pattern_dir dir;
	uint32_t number;
	uint8_t head[PATTERN_HEAD];

	(void)state;
	pattern_fill(&p, 0, head, sizeof(head));
	assert_memory_equal(head, "SPLa\x70\x11\x01\x00\xef\xcd\xab\x89\x67\x45\x23\x01", 16);
	assert_true(pattern_parse_head(head, SEED, &dir, &number));
	assert_int_equal(dir, PATTERN_BY_ACCEPT);
	assert_int_equal(number, 70000);
	assert_false(pattern_parse_head(head, SEED + 1, &dir, &number));
	head[3] = 'x';
	assert_false(pattern_parse_head(head, SEED, &dir, &number));
}

/* Any cut of the stream into pieces gives the same bytes, and they are accepted in any cut. */
static void test_fill_and_check_at_any_offset(void **state)
{
	struct pattern p = stream(7, PATTERN_UP);
	uint8_t whole[SIZE], part[64];

	(void)state;
	pattern_fill(&p, 0, whole, sizeof(whole));
	assert_int_equal(pattern_check(&p, 0, whole, sizeof(whole)), sizeof(whole));
	for (size_t pos = 0; pos < 64; pos++) {
		for (size_t len = 0; len <= sizeof(part); len++) {
			pattern_fill(&p, pos, part, len);
			assert_memory_equal(part, whole + pos, len);
			assert_int_equal(pattern_check(&p, pos, whole + pos, len), len);
		}
	}
}

static void test_check_finds_the_exact_byte(void **state)
{
	struct pattern p = stream(7, PATTERN_DOWN);
	uint8_t buf[256];

	(void)state;
	for (size_t pos = 0; pos < 24; pos++) {
		for (size_t bad = 0; bad < sizeof(buf); bad++) {
			pattern_fill(&p, pos, buf, sizeof(buf));
			buf[bad] ^= 1;
			assert_int_equal(pattern_check(&p, pos, buf, sizeof(buf)), bad);
		}
	}
}

/* A shift by any small distance shows within a few bytes (a byte may equal its neighbour). */
static void test_loss_and_repetition_are_seen_at_once(void **state)
{
	struct pattern p = stream(3, PATTERN_UP);
	uint8_t buf[SIZE];
	uint64_t where;

	(void)state;
	pattern_fill(&p, 0, buf, sizeof(buf));
	for (size_t shift = 1; shift <= 1024; shift++) {
		size_t lost = pattern_check(&p, 1024, buf + 1024 + shift, 512);
		size_t repeated = pattern_check(&p, 1024, buf + 1024 - shift, 512);

		assert_in_range(lost, 0, 4);
		assert_in_range(repeated, 0, 4);
	}
	assert_true(pattern_locate(&p, 2000, 1 << 16, buf + 1990, 16, &where));
	assert_int_equal(where, 1990);
	assert_true(pattern_locate(&p, 2000, 1 << 16, buf + 2077, 16, &where));
	assert_int_equal(where, 2077);
	memset(buf, 0, 16);
	assert_false(pattern_locate(&p, 2000, 1 << 16, buf, 16, &where));
}

static void test_swapped_words_are_seen(void **state)
{
	struct pattern p = stream(3, PATTERN_UP);
	uint8_t buf[SIZE], word[8];

	(void)state;
	pattern_fill(&p, 0, buf, sizeof(buf));
	memcpy(word, buf + 800, 8);
	memcpy(buf + 800, buf + 808, 8);
	memcpy(buf + 808, word, 8);
	assert_in_range(pattern_check(&p, 0, buf, sizeof(buf)), 800, 804);
}

/* Another session's, direction's or run's bytes at the same position are different bytes. */
static void test_streams_differ(void **state)
{
	struct pattern base = stream(5, PATTERN_UP);
	uint8_t buf[SIZE];

	(void)state;
	pattern_fill(&base, 0, buf, sizeof(buf));
	for (uint32_t number = 0; number < 2000; number++) {
		for (enum pattern_dir dir = 0; dir < _PATTERN_DIR_MAX; dir++) {
			struct pattern other = stream(number, dir);

			if (number == 5 && dir == PATTERN_UP)
				continue;
			assert_in_range(pattern_check(&other, 64, buf + 64, 512), 0, 4);
		}
	}
	pattern_init(&base, SEED + 1, 5, PATTERN_UP);
	assert_in_range(pattern_check(&base, 64, buf + 64, 512), 0, 4);
}

/* The generator must not be what a throughput test measures. */
static void test_speed(void **state)
{
	enum { CHUNK = 1 << 18, ROUNDS = 400 };
	struct pattern p = stream(1, PATTERN_UP);
	uint8_t *buf = malloc(CHUNK);
	struct timespec a, b;
	double seconds;

	(void)state;
	assert_non_null(buf);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	for (uint64_t i = 0; i < ROUNDS; i++) {
		pattern_fill(&p, i * CHUNK, buf, CHUNK);
		assert_int_equal(pattern_check(&p, i * CHUNK, buf, CHUNK), CHUNK);
	}
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	print_message("fill and check: %.1f GB/s\n", (double)CHUNK * ROUNDS * 2 / 1e9 / seconds);
	/* Far under what it does, for a sanitised build under emulation must pass too. */
	assert_true(seconds < 20);
	free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_head_names_the_stream),
	    cmocka_unit_test(test_fill_and_check_at_any_offset),
	    cmocka_unit_test(test_check_finds_the_exact_byte),
	    cmocka_unit_test(test_loss_and_repetition_are_seen_at_once),
	    cmocka_unit_test(test_swapped_words_are_seen),
	    cmocka_unit_test(test_streams_differ),
	    cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

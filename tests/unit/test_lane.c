/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of a lane, the kernel's half and the daemon's, also where counters wrap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lane-math.h"

#include "../../daemon/splice/lane.h"
#include "../../daemon/util.h"

#define G4 (UINT64_C(1) << 32)

/* ---- what both sides take for granted ----------------------------------------------------- */

static void test_layout(void **state _unused_)
{
	assert_int_equal(sizeof(struct lane), 128);
	assert_int_equal(offsetof(struct lane, redirected), 0);
	assert_int_equal(offsetof(struct lane, passed), 8);
	assert_int_equal(offsetof(struct lane, trimmed), 16);
	assert_int_equal(offsetof(struct lane, active_ns), 24);
	assert_int_equal(offsetof(struct lane, next_seq), 32);
	assert_int_equal(offsetof(struct lane, seq_epoch), 36);
	assert_int_equal(offsetof(struct lane, base), 40);
	assert_int_equal(offsetof(struct lane, based), 44);
	assert_int_equal(offsetof(struct lane, beyond), 45);
	assert_int_equal(offsetof(struct lane, pause_wanted), 48);
	assert_int_equal(offsetof(struct lane, let_in), 50);
	assert_int_equal(offsetof(struct lane, mem_mark), 52);
	assert_int_equal(offsetof(struct lane, mem_old), 56);
	assert_int_equal(offsetof(struct lane, mem_new), 60);
	/* The daemon's cache line. */
	assert_int_equal(offsetof(struct lane, forwarded), 64);
	assert_int_equal(offsetof(struct lane, copied), 72);
	assert_int_equal(offsetof(struct lane, limit), 80);
	assert_int_equal(offsetof(struct lane, epoch), 88);
	assert_int_equal(offsetof(struct lane, pause_seen), 92);
	assert_int_equal(offsetof(struct lane, shut), 94);
	assert_int_equal(offsetof(struct lane, high), 96);
	assert_int_equal(offsetof(struct lane, hard), 100);
	assert_int_equal(offsetof(struct lane, mem_high), 104);
	assert_int_equal(offsetof(struct lane, mem_hard), 108);
	assert_int_equal(offsetof(struct lane, generation), 112);
	assert_int_equal(offsetof(struct lane, worker), 116);
}

static void test_small_layouts(void **state _unused_)
{
	assert_int_equal(sizeof(struct lane_ref), 16);
	assert_int_equal(offsetof(struct lane_ref, target), 0);
	assert_int_equal(offsetof(struct lane_ref, lane), 8);
	assert_int_equal(sizeof(struct lane_event), 16);
	assert_int_equal(offsetof(struct lane_event, lane), 0);
	assert_int_equal(offsetof(struct lane_event, generation), 4);
	assert_int_equal(offsetof(struct lane_event, kind), 8);
	assert_int_equal(offsetof(struct lane_event, why), 10);
}

/* ---- the daemon's half -------------------------------------------------------------------- */

static void test_backlog_of(void **state _unused_)
{
	/* own, redirected, written, base */
	assert_int_equal(backlog_of(0, 0, 0, 0), 0);
	assert_int_equal(backlog_of(10, 90, 60, 0), 40);
	assert_int_equal(backlog_of(10, 90, 1060, 1000), 40);
	assert_int_equal(backlog_of(10, 90, 1100, 1000), 0);
	/* The target has taken what a stale `redirected` does not know of. */
	assert_int_equal(backlog_of(10, 90, 1101, 1000), 0);
	assert_int_equal(backlog_of(0, 0, UINT64_MAX, 0), 0);
	/* 64 bits: nothing happens at 4 GiB. */
	assert_int_equal(backlog_of(G4 - 1, 2, G4, 0), 1);
	assert_int_equal(backlog_of(3 * G4, 5 * G4, 8 * G4 - 7, 0), 7);
	/* The base of a socket whose counter began below it (an active open's SYN). */
	assert_int_equal(backlog_of(100, 0, 51, UINT64_MAX), 48);
}

static void test_stream_complete(void **state _unused_)
{
	/* received (the FIN counts one), read, redirected */
	assert_true(stream_complete(1, 0, 0));
	assert_true(stream_complete(101, 40, 60));
	assert_false(stream_complete(100, 40, 60));
	assert_false(stream_complete(102, 40, 60));
	assert_false(stream_complete(0, 0, 0));
	assert_true(stream_complete(2 * G4 + 1, G4, G4));
	assert_false(stream_complete(1, G4, 0));
	assert_false(stream_complete(101, 40 + G4, 60));
}

/* ---- the verdict's half ------------------------------------------------------------------- */

static void test_cut(void **state _unused_)
{
	static const struct {
		uint32_t next, seq, len;
		int64_t want;
	} rows[] = {
	    {1000, 1000, 500, 0},            /* in order */
	    {2000, 500, 2000, 1500},         /* an overlap */
	    {2000, 1999, 2, 1},              /* one byte */
	    {2000, 1000, 1000, 1000},        /* just seen */
	    {2000, 1000, 999, 999},          /* seen, and older still */
	    {2000, 0, 10, 10},               /* */
	    {1000, 1001, 500, -1},           /* a gap of one byte */
	    {1000, 900000, 500, -1},         /* */
	    {1000, 1000, 0, 0},              /* */
	    {5000, 500, 64000, 4500},        /* more than one adjust_room() takes */
	    {0, 0xfffffffe, 10, 2},          /* the stream wraps inside the old part */
	    {0, 0xfffffffe, 2, 2},           /* at its end */
	    {0xfffffffe, 0xfffffffe, 10, 0}, /* inside the new part */
	    {5, 0xfffffff0, 100, 21},        /* before the cut */
	    {0xfffffff0, 5, 100, -1},        /* a gap over the wrap */
	    {0x7fffffff, 0, 100, 100},       /* the oldest that is still before */
	    {0x80000000, 0, 100, -1},        /* */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t got = lane_cut(rows[i].next, rows[i].seq, rows[i].len);

		if (got != rows[i].want)
			fail_msg("row %zu: %lld bytes cut, not %lld", i, (long long)got,
				 (long long)rows[i].want);
	}
}

static void test_limit(void **state _unused_)
{
	struct lane lane = {.limit = UINT64_MAX};

	/* A tunnel. */
	assert_false(lane_over_limit(&lane, UINT32_MAX));
	lane.redirected = 3 * G4;
	lane.passed = G4;
	assert_false(lane_over_limit(&lane, UINT32_MAX));
	/* The kernel may move nothing. */
	lane = (struct lane){.limit = 0};
	assert_true(lane_over_limit(&lane, 1));
	assert_false(lane_over_limit(&lane, 0));
	/* Up to the last byte, and not one more; what was handed up counts too. */
	lane = (struct lane){.limit = G4 + 100, .redirected = G4, .passed = 40};
	assert_false(lane_over_limit(&lane, 60));
	assert_true(lane_over_limit(&lane, 61));
	/* Behind the limit, and a segment that is larger than the whole budget. */
	lane.passed = 101;
	assert_true(lane_over_limit(&lane, 1));
	lane = (struct lane){.limit = 100};
	assert_true(lane_over_limit(&lane, UINT32_MAX));
}

/* The base is the target's write_seq at an empty backlog, wherever its sequence numbers begin. */
static void test_backlog(void **state _unused_)
{
	static const uint32_t starts[] = {0, 1, 12345, 0x7fffffff, 0x80000000, 0xfffffff0};

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		/* 30 bytes were copied before the first verdict; write_seq stands behind them. */
		struct lane lane = {.copied = 30};
		uint32_t write_seq = starts[i] + 30;

		assert_int_equal(lane_backlog(&lane, lane_queued(&lane), write_seq), 0);
		assert_int_equal(lane.based, 1);
		assert_int_equal(lane.base, starts[i]);
		assert_int_equal(lane.mem_mark, 30);
		lane.redirected = 1000;
		assert_int_equal(lane_backlog(&lane, lane_queued(&lane), write_seq), 1000);
		assert_int_equal(lane_backlog(&lane, lane_queued(&lane), write_seq + 1), 999);
		assert_int_equal(lane_backlog(&lane, lane_queued(&lane), write_seq + 1000), 0);
		/* 400 of them are in the write queue and not sent yet. */
		assert_int_equal(lane_unsent(&lane, lane_queued(&lane), write_seq + 600), 400);
		assert_int_equal(lane.base, starts[i]);
	}
}

/* A stream of tens of GiB in steps: the 32-bit counters wrap many times, the backlog never lies. */
static void test_backlog_over_wraps(void **state _unused_)
{
	struct lane lane = {.copied = 100};
	uint64_t given = 100, taken = 100;
	const uint32_t start = 0xdeadbeef;
	uint32_t size = 1;

	assert_int_equal(lane_backlog(&lane, lane_queued(&lane), start + (uint32_t)taken), 0);
	while (given < 40 * G4) {
		size = size * 1664525 + 1013904223;
		lane.redirected += size >> 4;
		given += size >> 4;
		/* The daemon writes some, which it had been handed. */
		if (size % 7 == 0) {
			lane.passed += 1000;
			lane.forwarded += 1000;
			given += 1000;
		}
		/* Up to 1 GiB behind. */
		if (given - taken > 1 << 30 || size % 3 == 0)
			taken = given - (size & 0xffff);
		assert_int_equal(lane_backlog(&lane, lane_queued(&lane), start + (uint32_t)taken),
				 given - taken);
		assert_int_equal(lane_unsent(&lane, lane_queued(&lane), start + (uint32_t)taken),
				 given - taken);
		assert_int_equal(backlog_of(100, given - 100, taken, 0), given - taken);
	}
}

/* ---- memory ------------------------------------------------------------------------------- */

#define SKBS 64

/* A model of the queue: skbs of len bytes that hold size bytes of memory each. */
struct model {
	uint32_t len[SKBS], size[SKBS];
	unsigned int head, n;
	uint32_t start, bytes, taken;
};

static void model_put(struct model *m, struct lane *lane, uint32_t len, uint32_t size)
{
	unsigned int at = (m->head + m->n++) % SKBS;

	m->len[at] = len;
	m->size[at] = size;
	m->bytes += len;
	lane->redirected += len;
	lane->mem_new += size;
}

static void model_take(struct model *m)
{
	m->taken += m->len[m->head];
	m->head = (m->head + 1) % SKBS;
	m->n--;
}

static uint32_t model_memory(const struct model *m)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < m->n; i++)
		sum += m->size[(m->head + i) % SKBS];
	return sum;
}

/* The estimate is never below what is queued, and is zero again when nothing is. */
static void test_memory(void **state _unused_)
{
	struct lane lane = {.copied = G4 - 5000};
	struct model m = {.start = 0xffff0000};
	uint32_t random = 1, write_seq, queued, backlog, memory, most = 0;

	for (int i = 0; i < 100000; i++) {
		random = random * 1664525 + 1013904223;
		for (unsigned int n = random >> 28; n && m.n; n--)
			model_take(&m);
		if (random % 1000 == 0)
			while (m.n)
				model_take(&m);
		write_seq = m.start + (uint32_t)lane.copied + m.taken;
		queued = lane_queued(&lane);
		backlog = lane_backlog(&lane, queued, write_seq);
		assert_int_equal(backlog, m.bytes - m.taken);
		memory = lane_memory(&lane, queued, backlog);
		assert_true(memory >= model_memory(&m));
		if (!m.n)
			assert_int_equal(memory, 0);
		most = MAX(most, memory);
		for (unsigned int n = random >> 16 & 15; n && m.n < SKBS; n--)
			model_put(&m, &lane, 1 + (random >> 8) % 3000, 768 + (random >> 4) % 4000);
	}
	/* Nor does it drift away. */
	assert_true(most < 4 * SKBS * 4768);
}

static void test_marks(void **state _unused_)
{
	const struct lane lane = {.high = 1000, .hard = 8000, .mem_high = 9000, .mem_hard = 30000};

	assert_false(lane_above_high(&lane, 1000, 9000));
	assert_true(lane_above_high(&lane, 1001, 0));
	assert_true(lane_above_high(&lane, 0, 9001));
	assert_false(lane_above_hard(&lane, 8000, 30000));
	assert_true(lane_above_hard(&lane, 8001, 0));
	assert_true(lane_above_hard(&lane, 0, 30001));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_layout),     cmocka_unit_test(test_small_layouts),
	    cmocka_unit_test(test_backlog_of), cmocka_unit_test(test_stream_complete),
	    cmocka_unit_test(test_cut),        cmocka_unit_test(test_limit),
	    cmocka_unit_test(test_backlog),    cmocka_unit_test(test_backlog_over_wraps),
	    cmocka_unit_test(test_memory),     cmocka_unit_test(test_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

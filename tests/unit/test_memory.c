/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bound for what all sessions hold: its levels, and what is left for one socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

#include "../../daemon/config/config.h"
#include "../../daemon/log.h"
#include "../../daemon/memory.h"
#include "../../daemon/util.h"

#define MIB (UINT64_C(1) << 20)

static const uint64_t start_ns = 100 * NSEC_PER_SEC;

static void begin(struct memory *m, uint64_t max)
{
	const struct config c = {.memory_max = max, .splice_window = 2 * MIB};

	*m = (struct memory){0};
	log_setup(LOG_TO_STDERR, LOG_LVL_ERROR);
	memory_init(m, &c);
}

/* The level once this session holds so much. */
static enum memory_level hold(struct memory *m, struct memory_part *part, uint64_t now,
			      uint64_t held)
{
	memory_hold(m, part, held);
	memory_judge(m, now);
	return memory_level(m);
}

static void levels_follow_what_is_held(void **state _unused_)
{
	struct memory_part part = {0};
	struct memory m;

	begin(&m, 1000 * MIB);
	assert_int_equal(hold(&m, &part, start_ns, 199 * MIB), MEMORY_PLENTY);
	assert_int_equal(hold(&m, &part, start_ns, 200 * MIB), MEMORY_SMALLER);
	assert_int_equal(hold(&m, &part, start_ns, 600 * MIB), MEMORY_COPY);
	assert_false(memory_refuses(&m));
	assert_int_equal(hold(&m, &part, start_ns, 900 * MIB), MEMORY_REFUSE);
	assert_true(memory_refuses(&m));
	/* A little less does not end a level. */
	assert_int_equal(hold(&m, &part, start_ns, 860 * MIB), MEMORY_REFUSE);
	assert_int_equal(hold(&m, &part, start_ns, 840 * MIB), MEMORY_COPY);
	memory_fini(&m);
}

static void several_at_once(void **state _unused_)
{
	struct memory_part part = {0};
	struct memory m;

	begin(&m, 1000 * MIB);
	assert_int_equal(hold(&m, &part, start_ns, 950 * MIB), MEMORY_REFUSE);
	memory_fini(&m);
}

/* Small buffers may be all that ended it. */
static void the_first_level_lasts_for_a_while(void **state _unused_)
{
	struct memory_part part = {0};
	struct memory m;

	begin(&m, 1000 * MIB);
	assert_int_equal(hold(&m, &part, start_ns, 950 * MIB), MEMORY_REFUSE);
	assert_int_equal(hold(&m, &part, start_ns + NSEC_PER_SEC, 0), MEMORY_SMALLER);
	assert_int_equal(hold(&m, &part, start_ns + 3 * NSEC_PER_SEC, 0), MEMORY_PLENTY);
	memory_fini(&m);
}

static void sessions_add_up_and_are_forgotten(void **state _unused_)
{
	struct memory_part a = {0}, b = {0};
	struct memory m;

	begin(&m, 1000 * MIB);
	memory_hold(&m, &a, 3 * MIB);
	memory_hold(&m, &b, 5 * MIB);
	assert_int_equal(atomic_load(&m.used), 8 * MIB);
	memory_hold(&m, &a, MIB);
	assert_int_equal(atomic_load(&m.used), 6 * MIB);
	assert_int_equal(atomic_load(&m.holders), 2);
	memory_forget(&m, &a);
	memory_forget(&m, &b);
	assert_int_equal(atomic_load(&m.used), 0);
	assert_int_equal(atomic_load(&m.holders), 0);
	memory_fini(&m);
}

/* A receiver that has stopped fills its own buffer first, which looks like moving. */
static void who_moves_does_so_twice(void **state _unused_)
{
	struct memory_part part = {0};
	uint64_t now = start_ns, taken = MIB;
	struct memory m;

	begin(&m, 1000 * MIB);
	memory_pace(&m, &part, now, taken);
	memory_pace(&m, &part, now += 200 * NSEC_PER_MSEC, taken += MIB);
	assert_false(part.moving);
	/* Too soon to say anything. */
	memory_pace(&m, &part, now + NSEC_PER_MSEC, taken + MIB);
	assert_false(part.moving);
	memory_pace(&m, &part, now += 200 * NSEC_PER_MSEC, taken += MIB);
	assert_true(part.moving);
	assert_int_equal(atomic_load(&m.movers), 1);
	memory_pace(&m, &part, now + 200 * NSEC_PER_MSEC, taken);
	assert_false(part.moving);
	assert_int_equal(atomic_load(&m.movers), 0);
	memory_fini(&m);
}

static void a_share_is_of_what_is_left(void **state _unused_)
{
	struct memory_part parts[100] = {0}, one = {0};
	uint64_t stopped;
	struct memory m;

	begin(&m, 1024 * MIB);
	assert_int_equal(memory_share(&m, false), 0);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		memory_hold(&m, &parts[i], 3 * MIB);
	memory_judge(&m, start_ns);
	assert_int_equal(memory_level(&m), MEMORY_SMALLER);
	stopped = memory_share(&m, false);
	assert_true(stopped < 4 * MIB);
	assert_true(stopped * ARRAY_SIZE(parts) <= (1024 - 300) * MIB);
	/* Few move: each has more than one of the many that do not. */
	assert_true(memory_share(&m, true) > stopped);
	/* In powers of two. */
	assert_int_equal(stopped & (stopped - 1), 0);
	/* Where nothing is left, the least. */
	memory_hold(&m, &one, 1000 * MIB);
	memory_judge(&m, start_ns);
	assert_int_equal(memory_share(&m, false), m.least);
	memory_fini(&m);
}

/* A few sessions could fill a small one before they are measured. */
static void a_small_bound_is_shared_from_the_beginning(void **state _unused_)
{
	struct memory m;

	begin(&m, 256 * MIB);
	assert_int_equal(memory_share(&m, false), MIB);
	memory_fini(&m);
	begin(&m, 0); /* not written by hand */
	assert_true(m.max > 0);
	assert_int_equal(memory_share(&m, false), 0);
	memory_fini(&m);
}

/* What peers were promised counts where so many sessions could take all that is left. */
static void when_nobody_is_waited_for(void **state _unused_)
{
	struct memory_part part = {0};
	struct memory m;

	begin(&m, 1024 * MIB);
	assert_false(memory_is_hard(&m, 10, false));
	assert_true(memory_is_hard(&m, 1000, false));
	assert_false(memory_is_hard(&m, 1000, true));
	memory_hold(&m, &part, 600 * MIB);
	assert_true(memory_is_hard(&m, 1, true));
	memory_fini(&m);
}

static void it_is_looked_at_before_it_is_full(void **state _unused_)
{
	struct memory_part part = {0};
	struct memory m;

	begin(&m, 1000 * MIB);
	assert_int_equal(memory_watch_mark(&m), 1000 * MIB / 100 * MEMORY_WATCH_PERCENT);
	assert_int_equal(memory_time_to(5, 5), 0);
	assert_int_equal(memory_time_to(0, 40000000), 10 * NSEC_PER_MSEC);
	assert_true(memory_time_left(&m) > 0);
	(void)hold(&m, &part, start_ns, 900 * MIB);
	assert_int_equal(memory_time_left(&m), 0);
	memory_fini(&m);
}

static void tcp_tells_what_it_holds(void **state _unused_)
{
	struct memory m;
	uint64_t held;

	begin(&m, 1000 * MIB);
	held = memory_of_tcp(&m);
	assert_true(held < UINT64_MAX);
	assert_int_equal(held % (uint64_t)sysconf(_SC_PAGESIZE), 0);
	memory_fini(&m);
	/* Not known: then it is measured always. */
	assert_int_equal(memory_of_tcp(&m), UINT64_MAX);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(levels_follow_what_is_held),
	    cmocka_unit_test(several_at_once),
	    cmocka_unit_test(the_first_level_lasts_for_a_while),
	    cmocka_unit_test(sessions_add_up_and_are_forgotten),
	    cmocka_unit_test(who_moves_does_so_twice),
	    cmocka_unit_test(a_share_is_of_what_is_left),
	    cmocka_unit_test(a_small_bound_is_shared_from_the_beginning),
	    cmocka_unit_test(when_nobody_is_waited_for),
	    cmocka_unit_test(it_is_looked_at_before_it_is_full),
	    cmocka_unit_test(tcp_tells_what_it_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

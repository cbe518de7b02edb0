/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bulk in small segments: when a stream of the kernel's is taken to be copied, and for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../daemon/splice/bulk.h"
#include "fakekernel.h"

static struct splice_test t;
static struct stream *const down = &t.streams[DOWN];
static struct lane *const lane = &t.lanes[DOWN];
static uint64_t at; /* the pattern's next byte */

#define SIZE 50

/* The kernel has moved so many segments more, in that time, and says so. */
static void moved(unsigned int segments, unsigned int size, uint64_t ns)
{
	uint64_t left = (uint64_t)segments * size;
	char buf[64 * 1024] = {0};

	while (left) {
		size_t n = MIN(left, sizeof(buf));

		assert_int_equal(sendto(t.client.fd, buf, n, 0, NULL, 0), n);
		assert_int_equal(recv(t.client_end, buf, n, MSG_WAITALL), n);
		left -= n;
	}
	lane->redirected += (uint64_t)segments * size;
	lane->segments += segments;
	pass(&t, ns);
	stream_pump(down);
}

/* In twice the rate that is asked for at least. */
static void moved_fast(unsigned int segments, unsigned int size)
{
	moved(segments, size, segments * 125 * NSEC_PER_USEC);
}

/* The source says something, and it is copied. */
static void copies(size_t n)
{
	say(t.server_end, &t.server, at, n);
	t.server.readable = true;
	stream_pump(down);
	expect(t.client_end, at, n);
	at += n;
}

static void begin_bulk(void)
{
	at = 0;
	begin_engaged(&t);
	fake.on_mss = sockops_leaves;
}

static void begin_copied(void)
{
	begin_bulk();
	moved_fast(LANE_MANY, SIZE);
	assert_int_equal(down->state, STREAM_ENGAGED);
	moved_fast(LANE_MANY, SIZE);
	assert_int_equal(down->state, STREAM_COPY);
	assert_int_equal(down->why_copy, COPY_NONE);
	assert_false(is_in(ENGAGED_FD, &t.server));
	assert_false(is_held(&t.server));
	assert_int_equal(t.stats.pauses, 0);
	assert_int_equal(t.streams[UP].state, STREAM_ENGAGED);
}

static void test_is_copied(void **state _unused_)
{
	begin_copied();
	/* Though its source has nothing more after each, and whoever else is paused. */
	for (int i = 0; i < 4; i++) {
		copies(1000);
		assert_int_equal(down->state, STREAM_COPY);
		assert_int_not_equal(down->by_hand, 0);
		pass(&t, 20 * NSEC_PER_MSEC);
		t.by.company_ns = t.turns.loop.now;
	}
	assert_int_equal(down->copied, 4000);
	end(&t);
}

static void test_goes_back_after_a_gap(void **state _unused_)
{
	begin_copied();
	copies(1000);
	pass(&t, 60 * NSEC_PER_MSEC);
	copies(10);
	assert_int_equal(down->by_hand, 0);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_true(is_in(ENGAGED_FD, &t.server));
	/* The first look afterwards is a beginning; the next one tells. */
	moved_fast(LANE_MANY, SIZE);
	assert_int_equal(down->state, STREAM_ENGAGED);
	moved_fast(LANE_MANY, SIZE);
	assert_int_equal(down->state, STREAM_COPY);
	end(&t);
}

static void test_not_for_ever(void **state _unused_)
{
	begin_copied();
	down->hand_from = down->copied - (UINT64_C(256) << 20);
	copies(1000);
	assert_int_equal(down->by_hand, 0);
	assert_int_equal(down->state, STREAM_ENGAGED);
	end(&t);
}

static void test_fewer_segments_are_not_looked_at(void **state _unused_)
{
	begin_bulk();
	for (int i = 0; i < 4; i++) {
		moved_fast(LANE_MANY / 4, SIZE);
		assert_int_equal(down->bulk.looks, i == 3);
	}
	end(&t);
}

/* One look of another kind, and it begins anew. */
static void test_what_is_none(void **state _unused_)
{
	static const struct {
		unsigned int size;
		uint64_t ns;            /* of a segment */
		unsigned int back;      /* segments */
		unsigned int back_size; /* bytes in all */
	} cases[] = {
	    {SIZE, 300 * NSEC_PER_USEC, 0, 0},
	    {SIZE, 100 * NSEC_PER_USEC, LANE_MANY / 16, 100},
	    {SIZE, 100 * NSEC_PER_USEC, 4, LANE_MANY * SIZE / 16},
	    {12288, 100 * NSEC_PER_USEC, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin_bulk();
		moved_fast(LANE_MANY, SIZE);
		assert_int_equal(down->bulk.looks, 1);
		t.lanes[UP].segments += cases[i].back;
		t.lanes[UP].redirected += cases[i].back_size;
		moved(LANE_MANY, cases[i].size, LANE_MANY * cases[i].ns);
		assert_int_equal(down->bulk.looks, 0);
		assert_int_equal(down->state, STREAM_ENGAGED);
		moved_fast(LANE_MANY, SIZE);
		assert_int_equal(down->state, STREAM_ENGAGED);
		end(&t);
	}
}

static void sends_a_segment(int from, int to)
{
	const int at_once = 1;
	char byte = 0;

	/* One that is not acknowledged may take what is sent next. */
	assert_int_equal(setsockopt(from, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof(at_once)), 0);
	assert_int_equal(setsockopt(to, IPPROTO_TCP, TCP_QUICKACK, &at_once, sizeof(at_once)), 0);
	assert_int_equal(send(from, &byte, 1, 0), 1);
	assert_int_equal(recv(to, &byte, 1, 0), 1);
}

/* What comes back is counted also where the other stream is not the kernel's: messages that went
 * directly, and what is copied. */
static void test_back_by_others(void **state _unused_)
{
	struct stream *up = &t.streams[UP];

	for (int copied = 0; copied < 2; copied++) {
		struct way way = {0};

		begin_bulk();
		up->lane = NULL;
		up->way = &way;
		moved_fast(LANE_MANY, SIZE);
		assert_int_equal(down->bulk.looks, 1);
		for (int i = 0; copied && i < LANE_MANY / 16; i++)
			sends_a_segment(t.client_end, t.client.fd);
		if (!copied)
			way.direct_messages += LANE_MANY / 16;
		moved_fast(LANE_MANY, SIZE);
		assert_int_equal(down->bulk.looks, 0);
		assert_int_equal(down->state, STREAM_ENGAGED);
		moved_fast(LANE_MANY, SIZE);
		moved_fast(LANE_MANY, SIZE);
		assert_int_equal(down->state, STREAM_COPY);
		up->lane = &t.lanes[UP];
		up->way = NULL;
		end(&t);
	}
}

/* A source that cannot leave under its lock stays where it is. */
static void test_nothing_is_risked(void **state _unused_)
{
	begin_bulk();
	fake.on_mss = NULL;
	moved_fast(2 * LANE_MANY, SIZE);
	moved_fast(LANE_MANY, SIZE);
	assert_true(fake.mss > 0);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_true(is_in(ENGAGED_FD, &t.server));
	assert_false(is_held(&t.server));
	assert_int_equal(fake.removes[ENGAGED_FD - SOCKETS_FD], 0);
	assert_int_equal(t.stats.unlocked_deletes, 0);
	end(&t);

	begin_bulk();
	t.maps.collected = false;
	moved_fast(LANE_MANY, SIZE);
	moved_fast(LANE_MANY, SIZE);
	assert_int_equal(down->state, STREAM_ENGAGED);
	assert_int_equal(fake.mss, 0);
	assert_int_equal(fake.removes[ENGAGED_FD - SOCKETS_FD], 0);
	end(&t);
}

static void test_not_one_that_has_ended(void **state _unused_)
{
	begin_bulk();
	moved_fast(LANE_MANY, SIZE);
	t.server.fin_seen = true;
	moved_fast(LANE_MANY, SIZE);
	assert_int_equal(down->by_hand, 0);
	assert_int_equal(fake.mss, 0);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_is_copied),
	    cmocka_unit_test(test_back_by_others),
	    cmocka_unit_test(test_goes_back_after_a_gap),
	    cmocka_unit_test(test_not_for_ever),
	    cmocka_unit_test(test_fewer_segments_are_not_looked_at),
	    cmocka_unit_test(test_what_is_none),
	    cmocka_unit_test(test_nothing_is_risked),
	    cmocka_unit_test(test_not_one_that_has_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

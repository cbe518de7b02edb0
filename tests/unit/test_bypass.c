// SPDX-License-Identifier: GPL-2.0-or-later
/* The states of a bypassed stream, against the same table written out in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../daemon/buffers.h"
#include "../../daemon/bypass/direct.h"
#include "../../daemon/bypass/giveup.h"
#include "../../daemon/bypass/side.h"
#include "../../daemon/conn.h"
#include "../../daemon/util.h"

static const struct {
	const char *from, *next;
} table[] = {
    {"meeting", "carrying"},    /* they were joined */
    {"meeting", "over"},        /* they will not be */
    {"carrying", "direct"},     /* all that came by TCP is in the target's queue */
    {"carrying", "leaving"},    /* the program has left the way */
    {"carrying", "delivering"}, /* the source has ended */
    {"direct", "held"},         /* the target's queue is full */
    {"direct", "leaving"},      {"direct", "delivering"}, {"held", "direct"}, {"held", "leaving"},
    {"held", "delivering"},     {"leaving", "over"}, /* to the copy engine */
    {"delivering", "over"},                          /* the end is passed on */
};

static bool is_in_table(int from, int next)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strcmp(table[i].from, bypass_state_str[from]) == 0 &&
		    strcmp(table[i].next, bypass_state_str[next]) == 0)
			return true;
	return false;
}

static void test_table(void **state _unused_)
{
	for (int a = 0; a < _BYPASS_STATE_MAX; a++)
		for (int b = 0; b < _BYPASS_STATE_MAX; b++)
			assert_int_equal(
			    bypass_may_enter((enum bypass_state)a, (enum bypass_state)b),
			    is_in_table(a, b));
}

/* From every state there is a way to the last one: no session is kept for ever. */
static void test_no_state_is_a_trap(void **state _unused_)
{
	bool ends[_BYPASS_STATE_MAX] = {[BYPASS_OVER] = true};

	for (int round = 0; round < _BYPASS_STATE_MAX; round++)
		for (int a = 0; a < _BYPASS_STATE_MAX; a++)
			for (int b = 0; b < _BYPASS_STATE_MAX; b++)
				ends[a] |= ends[b] && bypass_may_enter((enum bypass_state)a,
								       (enum bypass_state)b);
	for (int a = 0; a < _BYPASS_STATE_MAX; a++)
		assert_true(ends[a]);
}

static void test_names(void **state _unused_)
{
	for (int i = 0; i < _WAY_WHY_MAX; i++)
		assert_non_null(way_why_str[i]);
	for (int i = 0; i < _BYPASS_STATE_MAX; i++)
		assert_non_null(bypass_state_str[i]);
}

/* What a dead target, or one that reads no more, has not read keeps nobody waiting. */
static void test_queued(void **state _unused_)
{
	struct way way = {.there = 1, .queued = 5};
	struct bypass_stream b = {.way = &way};

	assert_int_equal(bypass_queued(&b), 5);
	way.deaf = 1;
	assert_int_equal(bypass_queued(&b), 0);
	way = (struct way){.queued = 5};
	assert_int_equal(bypass_queued(&b), 0);
	/* Nor does anybody wait for what an outlet's TCP has. */
	way = (struct way){.there = 1, .queued = 5};
	assert_int_equal(bypass_unread(&b), 5);
	way.outlet = 1;
	assert_int_equal(bypass_queued(&b), 5);
	assert_int_equal(bypass_unread(&b), 0);
}

/* A way that carries data is given up when no program is inside; a direct one, too, but only when
 * its source was seen in no call, and its tokens are read. */
static void test_rests(void **state _unused_)
{
	const struct way direct = {.phase = WAY_DIRECT, .source = 7, .held = 2},
			 resting = {.there = 1, .target = 7, .users = 1};
	struct way way = {.phase = WAY_CARRIES, .source = 7}, back = {0};
	struct bypass_stream b = {.way = &way, .state = BYPASS_CARRYING};

	assert_true(bypass_rests(&b, &back));
	way.inside = 1;
	assert_false(bypass_rests(&b, &back));
	way = (struct way){.phase = WAY_DIRECT, .source = 7};
	assert_false(bypass_rests(&b, &resting)); /* it has become direct a moment ago */

	b = (struct bypass_stream){
	    .way = &way, .state = BYPASS_DIRECT, .dropped = 2 * BYPASS_TOKEN};
	way = direct;
	back = resting;
	assert_true(bypass_rests(&b, &back));
	way.phase = WAY_LEFT; /* by the program */
	assert_false(bypass_rests(&b, &back));
	way = direct;
	way.inside = 1;
	assert_false(bypass_rests(&b, &back));
	way = direct;
	for (uint32_t users = 0; users < 4; users++) {
		back.users = users;
		assert_int_equal(bypass_rests(&b, &back), users == 1);
	}
	back = resting;
	back.there = 0;
	assert_false(bypass_rests(&b, &back));
	back = resting;
	back.target = 8;
	assert_false(bypass_rests(&b, &back));
	b.dropped--;
	assert_false(bypass_rests(&b, &resting));
	way.held = 1 << 18; /* positions are mod 2^32 */
	b.dropped = 0;
	assert_true(bypass_rests(&b, &resting));
}

static int receive_buffer(int fd)
{
	int size = 0;
	socklen_t len = sizeof(size);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &len), 0);
	return size;
}

/* The receive buffer bounds the tokens that stop a source: scarce memory, and its end, change other
 * buffers. What was handed over is like any other. */
static void test_buffer_stays(void **state _unused_)
{
	struct conn c = {.fd = socket(AF_INET, SOCK_STREAM, 0), .tcp = true, .collected = true};
	const uint64_t window = 6 << 20;
	int lock = 0, small;
	socklen_t len = sizeof(lock);

	assert_true(c.fd >= 0);
	bypass_buffer(&c, 20480);
	small = receive_buffer(c.fd);
	buffers_set(&c, 512 << 10, window, false);
	assert_int_equal(receive_buffer(c.fd), small);
	buffers_set(&c, 128 << 10, window, true);
	assert_int_equal(receive_buffer(c.fd), small);
	buffers_set(&c, 0, window, false);
	assert_int_equal(receive_buffer(c.fd), small);
	assert_int_equal(getsockopt(c.fd, SOL_SOCKET, SO_BUF_LOCK, &lock, &len), 0);
	assert_int_equal(lock, SOCK_RCVBUF_LOCK);
	bypass_buffer(&c, 0);
	buffers_set(&c, 512 << 10, window, false);
	assert_true(receive_buffer(c.fd) > small);
	assert_int_equal(close(c.fd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),        cmocka_unit_test(test_no_state_is_a_trap),
	    cmocka_unit_test(test_names),        cmocka_unit_test(test_queued),
	    cmocka_unit_test(test_buffer_stays), cmocka_unit_test(test_rests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

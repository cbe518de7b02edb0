/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is next in a pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "../../daemon/upstream/pool.h"

#define MAX_SERVERS 80

static struct addr address(unsigned int last, uint16_t port)
{
	struct addr a = {.len = sizeof(struct sockaddr_in)};

	a.in4.sin_family = AF_INET;
	a.in4.sin_addr.s_addr = htonl((10u << 24) + last);
	a.in4.sin_port = htons(port);
	return a;
}

struct fixture {
	struct pool_config config;
	struct server_config servers[MAX_SERVERS];
	char names[MAX_SERVERS][8];
	struct pool *pool;
};

/* Servers a, b, c, ... at 10.0.0.1, .2, .3, ...; every one of weight 1. */
static struct fixture *make(size_t n, enum balance balance)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->config = (struct pool_config){.name = (char *)"test",
					 .balance = balance,
					 .servers = f->servers,
					 .n_servers = n,
					 .connect_timeout = 5 * NSEC_PER_SEC};
	for (unsigned int i = 0; i < n; i++) {
		(void)snprintf(f->names[i], sizeof(f->names[i]), "%c", (int)('a' + i));
		f->servers[i] = (struct server_config){
		    .name = f->names[i],
		    .weight = 1,
		    .endpoint = {.kind = ENDPOINT_ADDR, .addr = address(i + 1, 80)},
		};
	}
	return f;
}

static void open_pool(struct fixture *f)
{
	f->pool = pool_new(&f->config, 1, NULL);
	assert_non_null(f->pool);
}

static void done(struct fixture *f)
{
	pool_free(f->pool);
	free(f);
}

/* A session that dials: what it has tried, and tries. */
struct session {
	uint64_t tried[MAX_SERVERS];
	struct server *last;
	struct addr where;
	struct attempt attempt;
	unsigned int what;
	uint64_t now;
};

/* Its next server, or NULL. */
static struct server *next(struct fixture *f, struct session *s)
{
	const struct wish w = {.tried = s->tried,
			       .last = s->last,
			       .what = s->what ? s->what : WISH_ANY,
			       .now = s->now};

	return pool_pick(f->pool, &w, &s->where, &s->attempt);
}

/* It could not be connected. */
static void fails(struct session *s, struct server *server)
{
	s->tried[s->attempt.at] |= UINT64_C(1) << s->attempt.slot;
	s->last = server;
	attempt_failed(server, &s->where, &s->attempt, ECONNREFUSED, s->now);
}

/* One new session; its server, or NULL. */
static struct server *pick(struct fixture *f)
{
	struct session s = {.now = 1};

	return next(f, &s);
}

/* The names of the next n servers; `release` ends each session before the next. */
static void assert_order(struct fixture *f, const char *want, bool release)
{
	char got[64] = "";
	size_t n = strlen(want);

	assert_true(n < sizeof(got));
	for (size_t i = 0; i < n; i++) {
		struct server *s = pick(f);

		got[i] = '-';
		if (s)
			got[i] = s->name[0];
		if (s && release)
			server_release(s);
	}
	assert_string_equal(got, want);
}

/* ---- round robin -------------------------------------------------------------------------- */

static void test_round_robin(void **state _unused_)
{
	struct fixture *f = make(3, BALANCE_ROUND_ROBIN);

	open_pool(f);
	assert_order(f, "abcabcabc", true);
	/* Whether sessions go on does not matter. */
	assert_order(f, "abcabcabc", false);
	done(f);
}

static void test_weights_are_smooth(void **state _unused_)
{
	struct fixture *f = make(2, BALANCE_ROUND_ROBIN);

	f->servers[0].weight = 2;
	open_pool(f);
	assert_order(f, "abaabaaba", true);
	done(f);

	f = make(3, BALANCE_ROUND_ROBIN);
	f->servers[0].weight = 5;
	open_pool(f);
	assert_order(f, "aabacaaaabacaa", true);
	done(f);
}

static void test_weights_are_exact(void **state _unused_)
{
	struct fixture *f = make(4, BALANCE_ROUND_ROBIN);
	static const unsigned int weights[] = {256, 1, 17, 100};
	unsigned int counts[4] = {0};

	for (size_t i = 0; i < 4; i++)
		f->servers[i].weight = weights[i];
	open_pool(f);
	for (int i = 0; i < 3 * (256 + 1 + 17 + 100); i++)
		counts[pick(f)->name[0] - 'a']++;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(counts[i], 3 * weights[i]);
	done(f);
}

/* ---- least sessions ----------------------------------------------------------------------- */

static void test_least_sessions(void **state _unused_)
{
	struct fixture *f = make(3, BALANCE_LEAST_SESSIONS);
	struct server *a, *b;

	open_pool(f);
	a = f->pool->servers[0];
	b = f->pool->servers[1];
	assert_order(f, "abcabc", false);
	server_release(b);
	assert_order(f, "b", false);
	server_release(a);
	server_release(a);
	assert_order(f, "aa", false);
	assert_int_equal(a->active, 2);
	done(f);
}

/* With nothing to choose by, they take turns: not always the first. */
static void test_least_sessions_takes_turns(void **state _unused_)
{
	struct fixture *f = make(3, BALANCE_LEAST_SESSIONS);

	open_pool(f);
	assert_order(f, "abcabcabc", true);
	done(f);
}

static void test_least_sessions_by_weight(void **state _unused_)
{
	struct fixture *f = make(2, BALANCE_LEAST_SESSIONS);

	f->servers[0].weight = 3;
	open_pool(f);
	for (int i = 0; i < 40; i++)
		assert_non_null(pick(f));
	assert_int_equal(f->pool->servers[0]->active, 30);
	assert_int_equal(f->pool->servers[1]->active, 10);
	done(f);
}

/* Sessions that end at once, so that loads tie: who has how many of n. */
static void count(struct fixture *f, unsigned int n, unsigned int counts[26])
{
	memset(counts, 0, 26 * sizeof(*counts));
	for (unsigned int i = 0; i < n; i++) {
		struct server *s = pick(f);

		assert_non_null(s);
		counts[s->name[0] - 'a']++;
		server_release(s);
	}
}

/* A reload: from now on there are the first `n` servers. The pool before is the caller's. */
static struct pool *reload(struct fixture *f, struct pool_config *fresh, size_t n)
{
	struct pool *was = f->pool;

	*fresh = f->config;
	fresh->n_servers = n;
	f->pool = pool_new(fresh, 1, was);
	assert_non_null(f->pool);
	pool_commit(f->pool);
	(void)pool_retire(was);
	return was;
}

/* One that a reload adds is not owed the turns of those that were there before. */
static void check_added(enum balance balance)
{
	struct fixture *f = make(3, balance);
	unsigned int counts[26];
	struct pool_config fresh;
	struct pool *was;

	f->config.n_servers = 2;
	open_pool(f);
	pool_commit(f->pool);
	count(f, 1000, counts);
	assert_int_equal(counts[0], 500);
	was = reload(f, &fresh, 3);
	count(f, 300, counts);
	for (size_t i = 0; i < 3; i++)
		assert_in_range(counts[i], 99, 101);
	/* Sessions that go by the file before are some of those that share the servers. */
	for (int i = 0; i < 500; i++) {
		const struct wish w = {.what = WISH_ANY, .now = 1};
		struct attempt attempt;
		struct addr where;

		server_release(pool_pick(was, &w, &where, &attempt));
	}
	count(f, 300, counts);
	for (size_t i = 0; i < 3; i++)
		assert_in_range(counts[i], 99, 101);
	pool_free(was);
	done(f);
}

static void test_a_reload_adds_a_server(void **state _unused_)
{
	check_added(BALANCE_ROUND_ROBIN);
	check_added(BALANCE_LEAST_SESSIONS);
}

/* ---- who may be picked -------------------------------------------------------------------- */

static void check_backup(enum balance balance)
{
	struct fixture *f = make(3, balance);
	struct session s = {.now = 1};

	f->servers[0].backup = true;
	f->servers[1].max_sessions = 1;
	f->servers[2].max_sessions = 1;
	open_pool(f);
	/* Others are full: the backup, as often as need be. */
	assert_order(f, "bcaaa", false);
	server_release(f->pool->servers[2]);
	assert_order(f, "ca", false);
	/* Others were tried. */
	server_release(f->pool->servers[1]);
	assert_ptr_equal(next(f, &s), f->pool->servers[1]);
	fails(&s, f->pool->servers[1]);
	assert_ptr_equal(next(f, &s), f->pool->servers[0]);
	fails(&s, f->pool->servers[0]);
	assert_null(next(f, &s));
	done(f);
}

static void test_backup(void **state _unused_)
{
	check_backup(BALANCE_ROUND_ROBIN);
	check_backup(BALANCE_LEAST_SESSIONS);
}

static void check_max_sessions(enum balance balance)
{
	struct fixture *f = make(2, balance);
	struct session s = {.now = 1};

	f->servers[0].max_sessions = 1;
	f->servers[1].max_sessions = 2;
	open_pool(f);
	assert_order(f, "abb--", false);
	server_release(f->pool->servers[0]);
	assert_order(f, "a-", false);
	attempt_failed(f->pool->servers[1], &s.where, &s.attempt, ECONNREFUSED, 1);
	assert_order(f, "b-", false);
	assert_int_equal(f->pool->servers[0]->total, 2);
	assert_int_equal(f->pool->servers[1]->total, 3);
	assert_int_equal(f->pool->servers[1]->active, 2);
	assert_int_equal(f->pool->servers[1]->connect_failures, 1);
	assert_int_equal(f->pool->servers[0]->connect_failures, 0);
	done(f);
}

static void test_max_sessions(void **state _unused_)
{
	check_max_sessions(BALANCE_ROUND_ROBIN);
	check_max_sessions(BALANCE_LEAST_SESSIONS);
}

static void check_tried(enum balance balance)
{
	struct fixture *f = make(3, balance);
	struct session s = {.now = 1}, other = {.now = 1};
	unsigned int seen = 0;

	open_pool(f);
	for (int i = 0; i < 3; i++) {
		struct server *server = next(f, &s);

		assert_non_null(server);
		seen |= 1u << s.attempt.at;
		fails(&s, server);
	}
	assert_int_equal(seen, 7);
	assert_null(next(f, &s));
	/* Another session has not tried them. */
	assert_non_null(next(f, &other));
	done(f);
}

static void test_tried_are_not_picked_again(void **state _unused_)
{
	check_tried(BALANCE_ROUND_ROBIN);
	check_tried(BALANCE_LEAST_SESSIONS);
}

/* However many there are, each is tried once. */
static void test_many_servers(void **state _unused_)
{
	struct fixture *f = make(MAX_SERVERS, BALANCE_ROUND_ROBIN);
	struct session s = {.now = 1};

	open_pool(f);
	for (int i = 0; i < MAX_SERVERS; i++) {
		assert_ptr_equal(next(f, &s), f->pool->servers[i]);
		fails(&s, f->pool->servers[i]);
	}
	assert_null(next(f, &s));
	done(f);
}

static void test_empty_pool(void **state _unused_)
{
	struct fixture *f = make(0, BALANCE_ROUND_ROBIN);

	open_pool(f);
	assert_null(pick(f));
	done(f);
	pool_free(NULL);
}

/* ---- addresses ---------------------------------------------------------------------------- */

static void assert_address(struct fixture *f, const struct addr *want)
{
	struct session s = {.now = 1};
	struct server *server = next(f, &s);

	assert_non_null(server);
	assert_true(addr_equal(&s.where, want));
	server_release(server);
}

static void test_addresses_rotate(void **state _unused_)
{
	const struct addr addrs[] = {address(21, 80), address(22, 80), address(23, 80)};
	struct fixture *f = make(1, BALANCE_ROUND_ROBIN);

	f->servers[0].endpoint.kind = ENDPOINT_NAME;
	open_pool(f);
	server_set_addrs(f->pool->servers[0], addrs, 3);
	for (int i = 0; i < 7; i++)
		assert_address(f, &addrs[i % 3]);
	server_set_addrs(f->pool->servers[0], &addrs[2], 1);
	assert_address(f, &addrs[2]);
	assert_address(f, &addrs[2]);
	done(f);
}

/* Retries go through all addresses, whatever other sessions are given in between. */
static void test_each_address_is_tried(void **state _unused_)
{
	const struct addr addrs[] = {address(21, 80), address(22, 80), address(23, 80)};
	struct fixture *f = make(1, BALANCE_ROUND_ROBIN);

	f->servers[0].endpoint.kind = ENDPOINT_NAME;
	open_pool(f);
	server_set_addrs(f->pool->servers[0], addrs, 3);
	for (int others = 0; others < 4; others++) {
		struct session s = {.now = 1};
		unsigned int seen = 0;

		for (int i = 0; i < 3; i++) {
			assert_non_null(next(f, &s));
			for (unsigned int j = 0; j < 3; j++)
				seen |= (unsigned int)addr_equal(&s.where, &addrs[j]) << j;
			fails(&s, f->pool->servers[0]);
			for (int j = 0; j < others; j++)
				assert_non_null(pick(f));
		}
		assert_int_equal(seen, 7);
		assert_null(next(f, &s));
	}
	done(f);
}

/* A name that has not resolved yet, or no longer does. */
static void test_no_address(void **state _unused_)
{
	struct fixture *f = make(2, BALANCE_ROUND_ROBIN);
	struct addr where = address(9, 9);

	f->servers[0].endpoint = (struct endpoint){.kind = ENDPOINT_NAME};
	open_pool(f);
	assert_order(f, "bbb", true);
	server_set_addrs(f->pool->servers[0], &where, 1);
	assert_order(f, "abab", true);
	server_set_addrs(f->pool->servers[1], &where, 0);
	assert_order(f, "aa", true);
	server_set_addrs(f->pool->servers[0], &where, 0);
	assert_order(f, "--", true);
	done(f);
}

static void test_too_many_addresses(void **state _unused_)
{
	struct fixture *f = make(1, BALANCE_ROUND_ROBIN);
	struct addr many[SERVER_MAX_ADDRS + 5];

	for (unsigned int i = 0; i < SERVER_MAX_ADDRS + 5; i++)
		many[i] = address(100 + i, 80);
	f->servers[0].endpoint.kind = ENDPOINT_NAME;
	open_pool(f);
	server_set_addrs(f->pool->servers[0], many, SERVER_MAX_ADDRS + 5);
	assert_int_equal(f->pool->servers[0]->n_addrs, SERVER_MAX_ADDRS);
	for (int i = 0; i < 2 * SERVER_MAX_ADDRS; i++)
		assert_address(f, &many[i % SERVER_MAX_ADDRS]);
	done(f);
}

/* ---- slow start --------------------------------------------------------------------------- */

#define SPAN (100 * NSEC_PER_SEC)

/* A pool of a name with three addresses and, with `n` 2, another server; all were checked. */
static struct fixture *make_slow(size_t n, enum balance balance)
{
	const struct addr addrs[] = {address(21, 80), address(22, 80), address(23, 80)};
	struct fixture *f = make(n, balance);

	f->config.slow_start = SPAN;
	f->config.health_check = HEALTH_CHECK_TCP;
	f->config.health_rise = f->config.health_fall = 1;
	f->servers[0].endpoint.kind = ENDPOINT_NAME;
	open_pool(f);
	server_set_addrs(f->pool->servers[0], addrs, 3);
	return f;
}

/* A check of one of the addresses of the first server has ended so. */
static void check(struct fixture *f, unsigned int slot, enum check_outcome outcome, uint64_t now)
{
	struct server *s = f->pool->servers[0];
	const struct check_turn turn = {.slot = slot, .where = s->targets[slot].addr};
	const struct check_result result = {.outcome = outcome, .at_ns = now};

	(void)server_checked(s, &turn, &result);
}

static void check_all(struct fixture *f, enum check_outcome outcome, uint64_t now)
{
	for (unsigned int slot = 0; slot < 3; slot++)
		check(f, slot, outcome, now);
}

/* How many of the next n sessions the first server has, and its addresses. */
struct shares {
	unsigned int server, slots[3];
};

static struct shares share(struct fixture *f, unsigned int n, uint64_t now)
{
	struct shares ret = {0};

	for (unsigned int i = 0; i < n; i++) {
		struct session s = {.now = now};
		struct server *server = next(f, &s);

		assert_non_null(server);
		if (server == f->pool->servers[0]) {
			ret.server++;
			ret.slots[s.attempt.slot]++;
		}
		attempt_connected(server, &s.where, &s.attempt, now);
		server_release(server);
	}
	return ret;
}

static void assert_slots(struct shares got, unsigned int a, unsigned int b, unsigned int c)
{
	assert_in_range(got.slots[0], a ? a - 1 : 0, a + 1);
	assert_in_range(got.slots[1], b ? b - 1 : 0, b + 1);
	assert_in_range(got.slots[2], c ? c - 1 : 0, c + 1);
}

/* One address of several is back: its turns grow. */
static void test_slow_start_of_an_address(void **state _unused_)
{
	struct fixture *f = make_slow(1, BALANCE_ROUND_ROBIN);
	uint64_t now = NSEC_PER_SEC;

	check_all(f, CHECK_PASSED, now);
	assert_slots(share(f, 300, now), 100, 100, 100);
	check(f, 1, CHECK_TIMEOUT, ++now);
	assert_slots(share(f, 200, now), 100, 0, 100);
	check(f, 1, CHECK_PASSED, ++now);
	assert_slots(share(f, 210, now), 100, 10, 100);
	assert_slots(share(f, 255, now + SPAN / 2), 100, 55, 100);
	assert_slots(share(f, 300, now + SPAN), 100, 100, 100);
	/* What it had not is not made up for when another one is away. */
	now += SPAN + 1;
	check(f, 0, CHECK_TIMEOUT, now);
	check(f, 0, CHECK_PASSED, now);
	assert_slots(share(f, 210, now), 10, 100, 100);
	done(f);
}

/* A server has what the best of its addresses is worth: one that was there all the time, all. */
static void check_server_shares(enum balance balance)
{
	struct fixture *f = make_slow(2, balance);
	uint64_t now = NSEC_PER_SEC;
	struct shares got;

	check_all(f, CHECK_PASSED, now);
	assert_int_equal(share(f, 100, now).server, 50);
	check(f, 2, CHECK_TIMEOUT, ++now);
	check(f, 2, CHECK_PASSED, ++now);
	got = share(f, 210, now);
	assert_in_range(got.server, 104, 106);
	assert_slots(got, 50, 50, 5);

	check_all(f, CHECK_TIMEOUT, ++now);
	assert_int_equal(share(f, 100, now).server, 0);
	check(f, 0, CHECK_PASSED, ++now);
	assert_in_range(share(f, 110, now).server, 9, 11);
	/* The second one comes when the first has got a half. */
	now += SPAN / 2;
	check(f, 1, CHECK_PASSED, now);
	got = share(f, 155, now);
	assert_in_range(got.server, 54, 56);
	assert_slots(got, 46, 8, 0);
	/* All of them, at once. */
	check_all(f, CHECK_TIMEOUT, ++now);
	check_all(f, CHECK_PASSED, ++now);
	got = share(f, 330, now);
	assert_in_range(got.server, 29, 31);
	assert_slots(got, 10, 10, 10);
	assert_in_range(share(f, 100, now + SPAN).server, 49, 51);
	done(f);
}

static void test_slow_start_of_a_server(void **state _unused_)
{
	check_server_shares(BALANCE_ROUND_ROBIN);
	check_server_shares(BALANCE_LEAST_SESSIONS);
}

/* An operator has had it out; `drains`: and has it drain before it is ready again. */
static void check_maint(bool drains)
{
	struct fixture *f = make_slow(2, BALANCE_ROUND_ROBIN);
	uint64_t now = NSEC_PER_SEC;
	struct shares got;

	check_all(f, CHECK_PASSED, now);
	(void)server_set_mode(f->pool->servers[0], MODE_MAINT, ++now);
	assert_int_equal(share(f, 100, now).server, 0);
	if (drains) {
		(void)server_set_mode(f->pool->servers[0], MODE_DRAIN, ++now);
		check_all(f, CHECK_PASSED, ++now);
		assert_int_equal(share(f, 100, now += SPAN).server, 0);
	}
	(void)server_set_mode(f->pool->servers[0], MODE_READY, ++now);
	got = share(f, 330, now);
	assert_in_range(got.server, 29, 31);
	assert_slots(got, 10, 10, 10);
	/* From what is not maint it is back as it was. */
	now += SPAN;
	(void)server_set_mode(f->pool->servers[0], MODE_DRAIN, now);
	(void)server_set_mode(f->pool->servers[0], MODE_READY, ++now);
	assert_int_equal(share(f, 100, now).server, 50);
	done(f);
}

static void test_slow_start_after_maint(void **state _unused_)
{
	check_maint(false);
	check_maint(true);
}

/* ---- threads ------------------------------------------------------------------------------ */

#define THREADS 4
#define ROUNDS  20000

static void *pick_and_release(void *arg)
{
	struct fixture *f = arg;
	intptr_t served = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct server *s = pick(f);

		/* No more than max_sessions in all, whoever asks. */
		if (!s)
			continue;
		served++;
		server_release(s);
	}
	return (void *)served;
}

static void test_threads(void **state _unused_)
{
	struct fixture *f = make(2, BALANCE_LEAST_SESSIONS);
	pthread_t threads[THREADS];
	uint64_t served = 0;

	f->servers[0].max_sessions = 1;
	f->servers[1].max_sessions = 1;
	open_pool(f);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, pick_and_release, f), 0);
	for (int i = 0; i < THREADS; i++) {
		void *ret;

		assert_int_equal(pthread_join(threads[i], &ret), 0);
		served += (uint64_t)(intptr_t)ret;
	}
	assert_int_equal(f->pool->servers[0]->active, 0);
	assert_int_equal(f->pool->servers[1]->active, 0);
	assert_int_equal(f->pool->servers[0]->total + f->pool->servers[1]->total, served);
	done(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_robin),
	    cmocka_unit_test(test_weights_are_smooth),
	    cmocka_unit_test(test_weights_are_exact),
	    cmocka_unit_test(test_least_sessions),
	    cmocka_unit_test(test_least_sessions_takes_turns),
	    cmocka_unit_test(test_least_sessions_by_weight),
	    cmocka_unit_test(test_a_reload_adds_a_server),
	    cmocka_unit_test(test_backup),
	    cmocka_unit_test(test_max_sessions),
	    cmocka_unit_test(test_tried_are_not_picked_again),
	    cmocka_unit_test(test_many_servers),
	    cmocka_unit_test(test_empty_pool),
	    cmocka_unit_test(test_addresses_rotate),
	    cmocka_unit_test(test_each_address_is_tried),
	    cmocka_unit_test(test_no_address),
	    cmocka_unit_test(test_too_many_addresses),
	    cmocka_unit_test(test_slow_start_of_an_address),
	    cmocka_unit_test(test_slow_start_of_a_server),
	    cmocka_unit_test(test_slow_start_after_maint),
	    cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Servers and addresses that are passed over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../../daemon/upstream/pool.h"

#define S  NSEC_PER_SEC
#define MS NSEC_PER_MSEC

/* ---- the states ------------------------------------------------------------------------- */

static const struct pool_config defaults = {
    .max_fails = 1, .fail_timeout = 10 * S, .connect_timeout = 5 * S};

static bool is_word(const char *words, enum health_state state)
{
	const char *name = health_state_str[state];
	size_t len = strlen(name);

	for (const char *at = words; (at = strstr(at, name)); at++)
		if ((at == words || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return true;
	return false;
}

static void test_transitions(void **state _unused_)
{
	static const char *const legal[_HEALTH_STATE_MAX] = {
	    [HEALTH_UP] = "going_down down ejected",
	    [HEALTH_UNCHECKED] = "up down ejected",
	    [HEALTH_FALLING] = "up down ejected",
	    [HEALTH_DOWN] = "up going_up",
	    [HEALTH_RISING] = "up down",
	    [HEALTH_EJECTED] = "up down probing",
	    [HEALTH_PROBING] = "up down ejected",
	};

	for (int from = 0; from < _HEALTH_STATE_MAX; from++)
		for (int to = 0; to < _HEALTH_STATE_MAX; to++)
			assert_int_equal(health_may_enter(from, to), is_word(legal[from], to));
}

/* The time doubles with each failed probe, up to the bound. */
static void test_time_grows(void **state _unused_)
{
	static const uint64_t times[] = {10, 20, 40, 80, 80, 80};
	struct health e = {0};
	uint64_t now = 100 * S;

	assert_false(health_asked(&e, now));
	assert_true(health_failed(&e, &defaults, false, ECONNREFUSED, now));
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		assert_int_equal(e.state, HEALTH_EJECTED);
		assert_int_equal(e.time_ns, times[i] * S);
		assert_int_equal(e.fails, i + 1);
		assert_int_equal(health_rank(&e, &defaults, true, now), RANK_PASSED_OVER);
		now += times[i] * S - 1;
		assert_int_equal(health_rank(&e, &defaults, true, now), RANK_PASSED_OVER);
		now++;
		assert_int_equal(health_rank(&e, &defaults, true, now), RANK_GOOD);
		assert_int_equal(health_rank(&e, &defaults, false, now), RANK_PASSED_OVER);
		/* One session tries it. */
		assert_true(health_asked(&e, now));
		assert_int_equal(health_rank(&e, &defaults, true, now), RANK_PASSED_OVER);
		assert_false(health_asked(&e, now));
		assert_false(health_failed(&e, &defaults, false, ECONNREFUSED, now));
		assert_true(health_failed(&e, &defaults, true, ECONNREFUSED, now));
	}
	assert_true(health_succeeded(&e, now));
	assert_int_equal(health_rank(&e, &defaults, true, now), RANK_GOOD);
	/* From the beginning. */
	assert_true(health_failed(&e, &defaults, false, ECONNREFUSED, now));
	assert_int_equal(e.time_ns, 10 * S);
	assert_int_equal(e.fails, 1);
}

static void test_max_fails(void **state _unused_)
{
	struct pool_config c = defaults;
	struct health e = {0};

	c.max_fails = 3;
	assert_false(health_failed(&e, &c, false, ECONNREFUSED, 100 * S));
	assert_false(health_failed(&e, &c, false, ECONNREFUSED, 110 * S));
	/* Not within the time: these are the first of others. */
	assert_false(health_failed(&e, &c, false, ECONNREFUSED, 111 * S));
	assert_false(health_failed(&e, &c, false, ECONNREFUSED, 112 * S));
	assert_false(health_succeeded(&e, 113 * S));
	assert_true(health_failed(&e, &c, false, ECONNREFUSED, 114 * S));
	assert_int_equal(e.fails, 3);

	c.max_fails = 0;
	e = (struct health){0};
	for (unsigned int i = 0; i < 100; i++)
		assert_false(health_failed(&e, &c, false, ECONNREFUSED, 100 * S));
	assert_int_equal(health_rank(&e, &c, true, 100 * S), RANK_GOOD);
}

/* Sessions that began before it was passed over change nothing when they fail, all when they do
 * not. */
static void test_late_results(void **state _unused_)
{
	struct health e = {0};

	assert_true(health_failed(&e, &defaults, false, ETIMEDOUT, 100 * S));
	assert_false(health_failed(&e, &defaults, false, ETIMEDOUT, 101 * S));
	assert_int_equal(e.until_ns, 110 * S);
	assert_false(health_answered(&e, 102 * S));
	assert_true(health_succeeded(&e, 102 * S));
	assert_int_equal(e.state, HEALTH_UP);
	assert_true(health_answered(&e, 103 * S));
}

/* A probe whose client leaves says nothing: the next session is the probe. */
static void test_probe_abandoned(void **state _unused_)
{
	struct health e = {0};

	assert_true(health_failed(&e, &defaults, false, ETIMEDOUT, 100 * S));
	assert_true(health_asked(&e, 110 * S));
	health_abandoned(&e, true, 110 * S, 111 * S);
	assert_int_equal(health_rank(&e, &defaults, true, 111 * S), RANK_GOOD);
	assert_true(health_asked(&e, 111 * S));
	assert_true(health_failed(&e, &defaults, true, ETIMEDOUT, 116 * S));
	assert_int_equal(e.time_ns, 20 * S);
}

/* Where an answer is overdue, others are asked; any answer ends the doubt. */
static void test_doubt(void **state _unused_)
{
	struct health e = {0};
	uint64_t now = 100 * S;

	assert_false(health_asked(&e, now));
	assert_int_equal(health_rank(&e, &defaults, true, now + 250 * MS), RANK_GOOD);
	assert_int_equal(health_rank(&e, &defaults, true, now + 251 * MS), RANK_DOUBTFUL);
	assert_false(health_asked(&e, now + 251 * MS));
	assert_true(health_answered(&e, now + 252 * MS));
	assert_int_equal(health_rank(&e, &defaults, true, now + S), RANK_GOOD);
	/* Another's wait is not ended by one who gives up. */
	assert_false(health_asked(&e, now + S));
	health_abandoned(&e, false, now + 500 * MS, now + 2 * S);
	assert_int_equal(health_rank(&e, &defaults, true, now + 2 * S), RANK_DOUBTFUL);
	health_abandoned(&e, false, now + S, now + 2 * S);
	assert_int_equal(health_rank(&e, &defaults, true, now + 2 * S), RANK_GOOD);
}

/* ---- checks ----------------------------------------------------------------------------- */

static const struct pool_config checked = {.max_fails = 1,
					   .fail_timeout = 10 * S,
					   .connect_timeout = 5 * S,
					   .health_check = HEALTH_CHECK_TCP,
					   .health_rise = 2,
					   .health_fall = 3};

/* 'p': a check passed, 'f': one failed, 'e': a session failed; then the state is that one. */
static void assert_states(struct health *h, const struct pool_config *c, const char *events,
			  const char *want)
{
	char got[256] = "";

	for (const char *e = events; *e; e++) {
		struct check_result r = {.outcome = *e == 'p' ? CHECK_PASSED : CHECK_TIMEOUT,
					 .at_ns = 100 * S};
		enum health_state before = health_state_of(h);
		bool changed;

		if (*e == 'e')
			changed = health_failed(h, c, false, ECONNREFUSED, 100 * S);
		else
			changed = health_checked(h, c, &r);
		assert_int_equal(changed, health_state_of(h) != before);
		(void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s",
			       e == events ? "" : " ", health_state_str[health_state_of(h)]);
	}
	assert_string_equal(got, want);
}

static void test_checks(void **state _unused_)
{
	static const struct {
		const char *events, *states;
	} cases[] = {
	    /* The first decides. */
	    {"p", "up"},
	    {"f", "down"},
	    {"e", "ejected"},
	    {"pff", "up going_down going_down"},
	    {"pfffff", "up going_down going_down down down down"},
	    {"pffpff", "up going_down going_down up going_down going_down"},
	    {"fppp", "down going_up up up"},
	    {"fpfpp", "down going_up down going_up up"},
	    /* What sessions say of one that is down changes nothing. */
	    {"fepep", "down down going_up going_up up"},
	    /* Ejected: rise checks since then bring it back, fall checks take it down. */
	    {"ppppepp", "up up up up ejected ejected up"},
	    {"ppefff", "up up ejected ejected ejected down"},
	    {"pffef", "up going_down going_down ejected ejected"},
	    {"peffpp", "up ejected ejected ejected ejected up"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct health h = {0};

		health_reset(&h, &checked);
		assert_int_equal(health_state_of(&h), HEALTH_UNCHECKED);
		assert_true(health_is_usable(&h));
		assert_states(&h, &checked, cases[i].events, cases[i].states);
	}
}

/* One check is enough for each way. */
static void test_checks_at_once(void **state _unused_)
{
	struct pool_config c = checked;
	struct health h = {0};

	c.health_rise = c.health_fall = 1;
	health_reset(&h, &c);
	assert_states(&h, &c, "pfpffp", "up down up down down up");
	assert_states(&h, &c, "ep", "ejected up");
	assert_states(&h, &c, "ef", "ejected down");
}

/* A probe that was on its way when checks decided says nothing any more. */
static void test_probe_and_checks(void **state _unused_)
{
	struct health h = {0};

	health_reset(&h, &checked);
	assert_states(&h, &checked, "pe", "up ejected");
	assert_true(health_asked(&h, 110 * S));
	assert_states(&h, &checked, "fff", "probing probing down");
	assert_false(health_failed(&h, &checked, true, ETIMEDOUT, 111 * S));
	health_abandoned(&h, true, 110 * S, 111 * S);
	assert_false(health_succeeded(&h, 111 * S));
	assert_true(health_answered(&h, 111 * S));
	assert_int_equal(health_state_of(&h), HEALTH_DOWN);
	assert_int_equal(health_rank(&h, &checked, true, 1000 * S), RANK_PASSED_OVER);

	health_restart(&h, &checked);
	assert_int_equal(health_state_of(&h), HEALTH_UNCHECKED);
	assert_int_equal(h.times, 1);
}

/* ---- the pool --------------------------------------------------------------------------- */

#define SERVERS 5

struct fixture {
	struct pool_config config;
	struct server_config servers[SERVERS];
	struct pool *pool;
	uint64_t now;
};

struct session {
	uint64_t tried[SERVERS];
	struct server *last;
	struct addr where;
	struct attempt attempt;
	unsigned int what;
};

static struct addr address(unsigned int last)
{
	struct addr a = {.len = sizeof(struct sockaddr_in)};

	a.in4.sin_family = AF_INET;
	a.in4.sin_addr.s_addr = htonl((10u << 24) + last);
	a.in4.sin_port = htons(80);
	return a;
}

/* a, b, c, d, and e, which is a backup. */
static void make(struct fixture *f, enum balance balance)
{
	static char names[SERVERS][2] = {"a", "b", "c", "d", "e"};

	*f = (struct fixture){.config = defaults, .now = 100 * S};
	f->config.name = (char *)"p";
	f->config.balance = balance;
	f->config.servers = f->servers;
	f->config.n_servers = SERVERS;
	for (unsigned int i = 0; i < SERVERS; i++)
		f->servers[i] = (struct server_config){
		    .name = names[i],
		    .weight = 1,
		    .backup = i == 4,
		    .endpoint = {.kind = ENDPOINT_ADDR, .addr = address(i + 1)},
		};
	f->pool = pool_new(&f->config, 1, NULL);
	assert_non_null(f->pool);
}

static char next(struct fixture *f, struct session *s)
{
	const struct wish w = {.tried = s->tried,
			       .last = s->last,
			       .what = s->what ? s->what : WISH_ANY,
			       .now = f->now};
	struct server *server = pool_pick(f->pool, &w, &s->where, &s->attempt);

	s->last = server ? server : s->last;
	return server ? server->name[0] : '-';
}

static void fails(struct fixture *f, struct session *s)
{
	s->tried[s->attempt.at] |= UINT64_C(1) << s->attempt.slot;
	attempt_failed(s->last, &s->where, &s->attempt, ECONNREFUSED, f->now);
}

static void connects(struct fixture *f, struct session *s)
{
	attempt_connected(s->last, &s->where, &s->attempt, f->now);
	server_release(s->last);
}

/* As if nobody had been served so far: the first that may be had is the next. */
static void even_out(struct fixture *f)
{
	f->pool->lock->place = 0;
	for (size_t i = 0; i < f->pool->n_servers; i++) {
		f->pool->servers[i]->current_weight = 0;
		f->pool->servers[i]->place = 0;
	}
}

/* A new session, where those of `dead` refuse: whom it tries, in this order. */
static void assert_tries(struct fixture *f, const char *dead, const char *want)
{
	struct session s = {0};
	char got[16] = "";

	even_out(f);
	for (size_t i = 0; i < sizeof(got) - 1; i++) {
		got[i] = next(f, &s);
		if (got[i] == '-')
			break;
		if (!strchr(dead, got[i])) {
			connects(f, &s);
			break;
		}
		fails(f, &s);
	}
	assert_string_equal(got, want);
}

static void check_backup_takes_over(enum balance balance)
{
	struct fixture f;

	make(&f, balance);
	assert_tries(&f, "abcd", "abcde");
	for (int i = 0; i < 5; i++)
		assert_tries(&f, "abcd", "e");
	/* Their time is over: each is tried by one session, and goes for twice the time. */
	f.now += 10 * S;
	assert_tries(&f, "abcd", "ae");
	assert_tries(&f, "acd", "b");
	f.pool->servers[1]->config.max_sessions = 1; /* b is busy elsewhere */
	f.pool->servers[1]->active++;
	assert_tries(&f, "acd", "ce");
	assert_tries(&f, "ac", "d");
	f.pool->servers[1]->config.max_sessions = 0;
	f.pool->servers[1]->active--;
	/* b and d alone, until the others' 20 s are over. */
	f.now += 19 * S;
	assert_string_equal(server_state(f.pool->servers[0]), "ejected");
	assert_string_equal(server_state(f.pool->servers[1]), "up");
	for (int i = 0; i < 6; i++) {
		struct session s = {0};

		assert_non_null(strchr("bd", next(&f, &s)));
		connects(&f, &s);
	}
	pool_free(f.pool);
}

static void test_backup_takes_over(void **state _unused_)
{
	check_backup_takes_over(BALANCE_ROUND_ROBIN);
	check_backup_takes_over(BALANCE_LEAST_SESSIONS);
}

/* One session probes; all others go elsewhere meanwhile. */
static void test_one_probe(void **state _unused_)
{
	struct session probe = {0}, other = {0};
	struct fixture f;

	make(&f, BALANCE_LEAST_SESSIONS);
	assert_tries(&f, "a", "ab");
	f.now += 10 * S;
	f.pool->lock->place = f.pool->servers[0]->place =
	    0; /* it would be the next for everybody */
	assert_int_equal(next(&f, &probe), 'a');
	assert_string_equal(server_state(f.pool->servers[0]), "probing");
	for (int i = 0; i < 8; i++) {
		other = (struct session){0};
		assert_int_not_equal(next(&f, &other), 'a');
		connects(&f, &other);
	}
	connects(&f, &probe);
	assert_string_equal(server_state(f.pool->servers[0]), "up");
	other = (struct session){0};
	assert_int_equal(next(&f, &other), 'a');
	pool_free(f.pool);
}

/* Where all are passed over, all are tried: those that are not backups first. */
static void test_nobody_else_left(void **state _unused_)
{
	struct session s = {.what = WISH_OTHERS};
	struct fixture f;

	make(&f, BALANCE_ROUND_ROBIN);
	assert_tries(&f, "abcde", "abcde-");
	assert_tries(&f, "abcde", "abcde-");
	assert_int_equal(next(&f, &s), '-');
	assert_tries(&f, "abde", "abc");
	assert_tries(&f, "abde", "c");
	pool_free(f.pool);
}

/* The file says another max_fails or fail_timeout from now on. */
static void reload(struct fixture *f, struct pool_config *fresh, unsigned int max_fails,
		   uint64_t fail_timeout)
{
	struct pool *was = f->pool;

	*fresh = *was->config;
	fresh->max_fails = max_fails;
	fresh->fail_timeout = fail_timeout;
	f->pool = pool_new(fresh, 1, was);
	assert_non_null(f->pool);
	pool_commit(f->pool);
	pool_free(was);
}

/* Nobody is passed over any more, whoever was. */
static void test_max_fails_is_zero_from_now_on(void **state _unused_)
{
	struct session probe = {0};
	struct pool_config fresh;
	struct fixture f;

	make(&f, BALANCE_ROUND_ROBIN);
	assert_tries(&f, "abcd", "abcde");
	f.now += 10 * S;
	even_out(&f);
	assert_int_equal(next(&f, &probe), 'a');
	assert_string_equal(server_state(f.pool->servers[0]), "probing");
	assert_string_equal(server_state(f.pool->servers[1]), "ejected");
	reload(&f, &fresh, 0, 10 * S);
	for (int i = 0; i < 4; i++)
		assert_string_equal(server_state(f.pool->servers[i]), "up");
	fails(&f, &probe);
	assert_string_equal(server_state(f.pool->servers[0]), "up");
	assert_tries(&f, "abcd", "abcde");
	assert_tries(&f, "abcd", "abcde");
	pool_free(f.pool);
}

/* One that is passed over is so for the new time, which has grown as often as the one before. */
static void test_fail_timeout_is_shorter_from_now_on(void **state _unused_)
{
	struct pool_config fresh, longer;
	struct fixture f;

	make(&f, BALANCE_ROUND_ROBIN);
	assert_tries(&f, "abcd", "abcde");
	f.now += 10 * S;
	assert_tries(&f, "abcd", "ae");
	for (int i = 1; i < 4; i++) {
		f.servers[i].max_sessions = 1; /* busy elsewhere */
		f.pool->servers[i]->active++;
	}
	reload(&f, &fresh, 1, 2 * S);
	f.now += 4 * S - 1;
	assert_tries(&f, "a", "e");
	f.now++;
	assert_tries(&f, "a", "ae");
	/* A longer one is for the next time: nobody waits longer than was said. */
	reload(&f, &longer, 1, 20 * S);
	f.now += 8 * S;
	assert_tries(&f, "a", "ae");
	f.now += 160 * S - 1;
	assert_tries(&f, "a", "e");
	f.now++;
	assert_tries(&f, "", "a");
	pool_free(f.pool);
}

/* A server at its max_sessions is not had, whatever else there is; and that it is full is no reason
 * to try one that is passed over. */
static void check_full_servers(enum balance balance)
{
	struct session s = {0};
	struct fixture f;

	make(&f, balance);
	for (int i = 2; i < 5; i++)
		f.pool->servers[i]->config.max_sessions = 1;
	assert_tries(&f, "ab", "abc");
	for (int i = 0; i < 3; i++)
		assert_int_not_equal(next(&f, &(struct session){0}), '-');
	/* c, d and e are full. */
	assert_tries(&f, "ab", "-");
	/* One that is full and has failed for this session is nothing to wait for. */
	for (int i = 2; i < 5; i++)
		s.tried[i] = 1;
	even_out(&f);
	assert_int_equal(next(&f, &s), 'a');
	fails(&f, &s);
	assert_int_equal(next(&f, &s), 'b');
	server_release(s.last);
	/* Nor is one that an operator has taken out: of all others none is left. */
	for (int i = 2; i < 5; i++)
		(void)server_set_mode(f.pool->servers[i], MODE_DRAIN, f.now);
	assert_tries(&f, "ab", "ab-");
	/* A backup that is full is one that nothing speaks against, too. */
	(void)server_set_mode(f.pool->servers[4], MODE_READY, f.now);
	assert_tries(&f, "ab", "-");
	/* One that is full of those who wait for it in vain is not. */
	(void)health_asked(&f.pool->servers[4]->targets[0].health, f.now);
	f.now += 5 * S;
	assert_tries(&f, "ab", "ab-");
	pool_free(f.pool);
}

static void test_full_servers(void **state _unused_)
{
	check_full_servers(BALANCE_ROUND_ROBIN);
	check_full_servers(BALANCE_LEAST_SESSIONS);
}

/* A probe that was to be is not made: a kept connection was there. */
static void test_attempt_spared(void **state _unused_)
{
	struct session s = {0};
	struct fixture f;

	make(&f, BALANCE_ROUND_ROBIN);
	assert_tries(&f, "abcd", "abcde");
	f.now += 10 * S;
	even_out(&f);
	assert_int_equal(next(&f, &s), 'a');
	attempt_spare(s.last, &s.where, &s.attempt, f.now);
	server_release(s.last);
	assert_string_equal(server_state(f.pool->servers[0]), "ejected");
	assert_tries(&f, "a", "ae");
	assert_tries(&f, "", "b");
	pool_free(f.pool);
}

/* ---- addresses of a name ---------------------------------------------------------------- */

static void make_name(struct fixture *f, unsigned int n)
{
	struct addr addrs[16];

	make(f, BALANCE_ROUND_ROBIN);
	pool_free(f->pool);
	f->config.n_servers = 2;
	f->servers[0].endpoint = (struct endpoint){.kind = ENDPOINT_NAME};
	f->pool = pool_new(&f->config, 1, NULL);
	assert_non_null(f->pool);
	assert_string_equal(server_state(f->pool->servers[0]), "unresolved");
	for (unsigned int i = 0; i < n; i++)
		addrs[i] = address(20 + i);
	server_set_addrs(f->pool->servers[0], addrs, n);
}

static unsigned int last_byte(const struct addr *a)
{
	return ntohl(a->in4.sin_addr.s_addr) & 0xff;
}

/* Six addresses of which one lives: the others are tried, and then passed over. */
static void test_addresses_are_passed_over(void **state _unused_)
{
	struct fixture f;

	make_name(&f, 6);
	for (int round = 0; round < 6; round++) {
		struct session s = {.what = WISH_OTHERS};
		char who;
		int tries = 0;

		while ((who = next(&f, &s)) == 'a' && last_byte(&s.where) != 25) {
			assert_true(++tries < 6);
			fails(&f, &s);
		}
		assert_true(round == 0 || tries == 0);
		connects(&f, &s);
		if (who == 'b')
			continue;
		assert_int_equal(last_byte(&s.where), 25);
		assert_string_equal(server_state(f.pool->servers[0]), "up");
	}
	pool_free(f.pool);
}

/* The addresses of the server that failed come before other servers, those that are passed over
 * after all. */
static void test_addresses_first(void **state _unused_)
{
	static const unsigned int order[] = {20, 21, 2, 22};
	struct session s = {0};
	struct fixture f;

	make_name(&f, 3);
	f.pool->servers[0]->next_slot = 2;
	assert_int_equal(next(&f, &s), 'a');
	assert_int_equal(s.attempt.others, 2);
	fails(&f, &s);
	assert_int_equal(last_byte(&s.where), 22);
	s = (struct session){0};
	f.pool->servers[1]->current_weight = -1000;
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		assert_int_not_equal(next(&f, &s), '-');
		assert_int_equal(last_byte(&s.where), order[i]);
		fails(&f, &s);
	}
	assert_int_equal(next(&f, &s), '-');
	pool_free(f.pool);
}

/* What is known of an address stays when others come and go. */
static void test_addresses_keep_their_state(void **state _unused_)
{
	const struct addr now[] = {address(30), address(22), address(20)};
	struct session s = {0};
	struct fixture f;

	make_name(&f, 3);
	assert_int_equal(next(&f, &s), 'a');
	fails(&f, &s);
	assert_int_equal(last_byte(&s.where), 20);
	server_set_addrs(f.pool->servers[0], now, 3);
	for (int i = 0; i < 8; i++) {
		s = (struct session){0};
		assert_int_not_equal(next(&f, &s), '-');
		assert_int_not_equal(last_byte(&s.where), 20);
		connects(&f, &s);
	}
	/* The one that is gone and comes again is a new one. */
	server_set_addrs(f.pool->servers[0], now, 2);
	server_set_addrs(f.pool->servers[0], &now[2], 1);
	assert_string_equal(server_state(f.pool->servers[0]), "up");
	/* The result of an attempt to an address that is gone changes nothing. */
	s = (struct session){0};
	f.pool->servers[1]->current_weight = -1000;
	assert_int_equal(next(&f, &s), 'a');
	server_set_addrs(f.pool->servers[0], now, 1);
	fails(&f, &s);
	assert_string_equal(server_state(f.pool->servers[0]), "up");
	pool_free(f.pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_transitions),
	    cmocka_unit_test(test_time_grows),
	    cmocka_unit_test(test_max_fails),
	    cmocka_unit_test(test_late_results),
	    cmocka_unit_test(test_probe_abandoned),
	    cmocka_unit_test(test_doubt),
	    cmocka_unit_test(test_backup_takes_over),
	    cmocka_unit_test(test_one_probe),
	    cmocka_unit_test(test_nobody_else_left),
	    cmocka_unit_test(test_max_fails_is_zero_from_now_on),
	    cmocka_unit_test(test_fail_timeout_is_shorter_from_now_on),
	    cmocka_unit_test(test_full_servers),
	    cmocka_unit_test(test_attempt_spared),
	    cmocka_unit_test(test_addresses_are_passed_over),
	    cmocka_unit_test(test_checks),
	    cmocka_unit_test(test_checks_at_once),
	    cmocka_unit_test(test_probe_and_checks),
	    cmocka_unit_test(test_addresses_first),
	    cmocka_unit_test(test_addresses_keep_their_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

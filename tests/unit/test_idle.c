/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Server connections that are kept: the worker's, and a client's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../daemon/upstream/idle.h"
#include "../../daemon/upstream/own.h"
#include "../../daemon/upstream/pool.h"
#include "turns.h"

#define KEPT_NS (10 * NSEC_PER_SEC)

struct fixture {
	struct turns turns;
	struct server_config servers[2];
	struct pool_config config;
	struct pool *pool;
	struct server *a, *b;
	struct idle idle;
	struct own own;
	int peer[16]; /* of each connection, in the order of connect() */
	unsigned int n;
};

static struct addr address(unsigned int last)
{
	struct addr a = {.len = sizeof(struct sockaddr_in)};

	a.in4.sin_family = AF_INET;
	a.in4.sin_addr.s_addr = htonl((10u << 24) + last);
	a.in4.sin_port = htons(80);
	return a;
}

/* Server a is a name with two addresses, b an address. */
static int begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct addr addrs[] = {address(1), address(2)};

	assert_non_null(f);
	f->servers[0] = (struct server_config){
	    .name = (char *)"a", .weight = 1, .endpoint = {.kind = ENDPOINT_NAME}};
	f->servers[1] =
	    (struct server_config){.name = (char *)"b",
				   .weight = 1,
				   .endpoint = {.kind = ENDPOINT_ADDR, .addr = address(3)}};
	f->config = (struct pool_config){.name = (char *)"test",
					 .servers = f->servers,
					 .n_servers = 2,
					 .keepalive = 3,
					 .keepalive_timeout = KEPT_NS};
	f->pool = pool_new(&f->config, 1, NULL);
	assert_non_null(f->pool);
	f->a = f->pool->servers[0];
	f->b = f->pool->servers[1];
	(void)server_set_addrs(f->a, addrs, 2);
	turns_begin(&f->turns);
	idle_init(&f->idle, &f->turns.loop, 0);
	own_init(&f->own);
	*state = f;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;

	own_close(&f->own);
	idle_fini(&f->idle);
	turns_end(&f->turns);
	for (unsigned int i = 0; i < f->n; i++)
		(void)close(f->peer[i]);
	pool_free(f->pool);
	free(f);
	return 0;
}

/* One to the server at 10.0.0.`last`, which epoll watches. */
static struct conn *connect_to(struct fixture *f, struct server *server, unsigned int last)
{
	struct conn *c = conn_new();
	int fds[2];

	assert_non_null(c);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	c->fd = fds[0];
	f->peer[f->n++] = fds[1];
	c->server = server;
	c->peer = address(last);
	loop_watch(&f->turns.loop, c, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	(void)turns_poll(&f->turns, 0);
	return c;
}

static bool is_closed(int peer)
{
	char byte;

	errno = 0;
	return recv(peer, &byte, 1, MSG_DONTWAIT) < 1 && errno != EAGAIN;
}

/* ---- the worker's ----------------------------------------------------------------------- */

static void test_the_one_used_last_comes_first(void **state)
{
	struct fixture *f = *state;
	struct conn *one = connect_to(f, f->a, 1), *two = connect_to(f, f->a, 2);
	struct conn *other = connect_to(f, f->b, 3);

	idle_keep(&f->idle, one, &f->config);
	idle_keep(&f->idle, two, &f->config);
	idle_keep(&f->idle, other, &f->config);
	assert_true(one->used);
	assert_ptr_equal(idle_take(&f->idle, f->a, NULL, NULL, false), two);
	assert_ptr_equal(idle_take(&f->idle, f->a, NULL, NULL, false), one);
	assert_null(idle_take(&f->idle, f->a, NULL, NULL, false));
	/* Given back, the first is the one used last. */
	idle_keep(&f->idle, two, &f->config);
	idle_keep(&f->idle, one, &f->config);
	assert_ptr_equal(idle_take(&f->idle, f->a, NULL, NULL, false), one);
	assert_true(one->kept->reused);
	idle_keep(&f->idle, one, &f->config);
	assert_int_equal(turns_reap(&f->turns), 0);
}

static void test_what_ends_or_speaks_is_dropped(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 3; i++)
		idle_keep(&f->idle, connect_to(f, f->a, 1), &f->config);
	/* Its end is an event; so is a byte that nobody asked for. */
	assert_int_equal(shutdown(f->peer[0], SHUT_WR), 0);
	assert_int_equal(send(f->peer[1], "x", 1, 0), 1);
	assert_int_equal(turns_poll(&f->turns, 0), 2);
	assert_int_equal(turns_reap(&f->turns), 2);
	assert_true(is_closed(f->peer[0]) && is_closed(f->peer[1]));
	assert_int_equal(f->a->parts[0].n_kept, 1);
	/* One that has ended before its event is seen when it is to be taken. */
	assert_int_equal(shutdown(f->peer[2], SHUT_WR), 0);
	assert_null(idle_take(&f->idle, f->a, NULL, NULL, false));
	assert_int_equal(turns_reap(&f->turns), 1);
}

/* The event of bytes that were read when it was kept comes behind that, in the same turn. */
static void test_what_was_read_already_ends_nothing(void **state)
{
	struct fixture *f = *state;
	struct conn *c[2];
	char byte;

	for (int i = 0; i < 2; i++) {
		struct epoll_event e;

		c[i] = connect_to(f, f->a, 1);
		assert_int_equal(send(f->peer[i], "x", 1, 0), 1);
		assert_int_equal(epoll_wait(f->turns.loop.poll_fd, &e, 1, 0), 1);
		assert_ptr_equal(e.data.ptr, c[i]);
		assert_int_equal(recv(c[i]->fd, &byte, 1, 0), 1);
		if (i)
			own_keep(&f->own, &f->idle, c[i]);
		else
			idle_keep(&f->idle, c[i], &f->config);
		c[i]->event(c[i], e.events);
	}
	assert_int_equal(turns_reap(&f->turns), 0);
	assert_false(f->a->parts[0].fickle);
	assert_ptr_equal(idle_take(&f->idle, f->a, NULL, NULL, false), c[0]);
	assert_ptr_equal(own_take(&f->own, f->a, NULL, NULL, false), c[1]);
	idle_keep(&f->idle, c[0], &f->config);
	own_keep(&f->own, &f->idle, c[1]);
	/* Nobody has asked for what comes now. */
	for (int i = 0; i < 2; i++)
		assert_int_equal(send(f->peer[i], "x", 1, 0), 1);
	assert_int_equal(turns_poll(&f->turns, 0), 2);
	assert_int_equal(turns_reap(&f->turns), 2);
}

static void test_unused_for_too_long(void **state)
{
	struct fixture *f = *state;
	struct conn *c = connect_to(f, f->a, 1);

	idle_keep(&f->idle, c, &f->config);
	turns_pass(&f->turns, NSEC_PER_SEC);
	idle_keep(&f->idle, connect_to(f, f->b, 3), &f->config);
	turns_pass(&f->turns, KEPT_NS - NSEC_PER_SEC - 1);
	assert_int_equal(turns_reap(&f->turns), 0);
	turns_pass(&f->turns, 1);
	assert_true(is_closed(f->peer[0]) && !is_closed(f->peer[1]));
	turns_pass(&f->turns, NSEC_PER_SEC);
	assert_true(is_closed(f->peer[1]));
	assert_int_equal(turns_reap(&f->turns), 2);
	/* The time begins anew with each use, and does not run in one. */
	c = connect_to(f, f->a, 1);
	idle_keep(&f->idle, c, &f->config);
	turns_pass(&f->turns, KEPT_NS - 1);
	assert_ptr_equal(idle_take(&f->idle, f->a, NULL, NULL, false), c);
	turns_pass(&f->turns, KEPT_NS);
	idle_keep(&f->idle, c, &f->config);
	turns_pass(&f->turns, KEPT_NS - 1);
	assert_ptr_equal(idle_take(&f->idle, f->a, NULL, NULL, false), c);
	idle_keep(&f->idle, c, &f->config);
}

static void test_no_more_than_keepalive(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 4; i++)
		idle_keep(&f->idle, connect_to(f, f->a, 1), &f->config);
	assert_int_equal(f->a->parts[0].n_kept, 3);
	assert_true(is_closed(f->peer[0]) && !is_closed(f->peer[1]));
	f->config.keepalive = 0;
	idle_keep(&f->idle, connect_to(f, f->b, 3), &f->config);
	assert_true(is_closed(f->peer[4]));
	assert_int_equal(turns_reap(&f->turns), 2);
}

static void test_what_is_useless_is_not_kept(void **state)
{
	struct fixture *f = *state;
	struct conn *ended = connect_to(f, f->a, 1), *failed = connect_to(f, f->a, 1);

	ended->fin_seen = true;
	failed->failed = true;
	idle_keep(&f->idle, ended, &f->config);
	idle_keep(&f->idle, failed, &f->config);
	/* Its address is not the server's any more. */
	idle_keep(&f->idle, connect_to(f, f->a, 9), &f->config);
	assert_int_equal(turns_reap(&f->turns), 3);
	assert_null(idle_take(&f->idle, f->a, NULL, NULL, false));
}

static void test_descriptors_are_needed(void **state)
{
	struct fixture *f = *state;

	idle_keep(&f->idle, connect_to(f, f->b, 3), &f->config);
	idle_keep(&f->idle, connect_to(f, f->a, 1), &f->config);
	assert_true(idle_give_up(&f->idle));
	assert_true(is_closed(f->peer[0]) && !is_closed(f->peer[1]));
	assert_true(idle_give_up(&f->idle));
	assert_false(idle_give_up(&f->idle));
	assert_int_equal(turns_reap(&f->turns), 2);
}

static void test_address_that_goes(void **state)
{
	struct fixture *f = *state;
	const struct addr left = address(2);
	struct conn *stays = connect_to(f, f->a, 2);

	idle_keep(&f->idle, connect_to(f, f->a, 1), &f->config);
	idle_keep(&f->idle, stays, &f->config);
	idle_keep(&f->idle, connect_to(f, f->b, 3), &f->config);
	idle_check(&f->idle);
	assert_int_equal(turns_reap(&f->turns), 0);
	assert_true(server_set_addrs(f->a, &left, 1));
	idle_check(&f->idle);
	assert_int_equal(turns_reap(&f->turns), 1);
	assert_true(!is_closed(f->peer[0]) && is_closed(f->peer[1]) && !is_closed(f->peer[2]));
	assert_ptr_equal(idle_take(&f->idle, f->a, NULL, NULL, false), stays);
	idle_keep(&f->idle, stays, &f->config);
}

static void test_fickle_server(void **state)
{
	struct fixture *f = *state;
	struct conn *c = connect_to(f, f->a, 1), *other;

	/* It ends one right after its first answer. */
	idle_keep(&f->idle, connect_to(f, f->a, 1), &f->config);
	(void)shutdown(f->peer[1], SHUT_WR);
	(void)turns_poll(&f->turns, 0);
	idle_keep(&f->idle, c, &f->config);
	assert_null(idle_take(&f->idle, f->a, NULL, NULL, true));
	assert_ptr_equal(idle_take(&f->idle, f->a, NULL, NULL, false), c);
	/* One that has served two requests shows that it means to keep them. */
	idle_keep(&f->idle, c, &f->config);
	assert_ptr_equal(idle_take(&f->idle, f->a, NULL, NULL, true), c);
	idle_keep(&f->idle, c, &f->config);
	idle_keep(&f->idle, connect_to(f, f->a, 2), &f->config);
	other = idle_take(&f->idle, f->a, NULL, NULL, true);
	assert_non_null(other);
	assert_ptr_equal(idle_take(&f->idle, f->a, NULL, NULL, true), c);
	idle_keep(&f->idle, c, &f->config);
	idle_keep(&f->idle, other, &f->config);
	/* One that was kept for a while and ends is as it should be. */
	idle_keep(&f->idle, connect_to(f, f->b, 3), &f->config);
	turns_pass(&f->turns, NSEC_PER_SEC);
	(void)shutdown(f->peer[f->n - 1], SHUT_WR);
	(void)turns_poll(&f->turns, 0);
	idle_keep(&f->idle, connect_to(f, f->b, 3), &f->config);
	other = idle_take(&f->idle, f->b, NULL, NULL, true);
	assert_non_null(other);
	idle_keep(&f->idle, other, &f->config);
}

/* The server's first connection ended right after its first answer. */
static void make_fickle(struct fixture *f)
{
	idle_keep(&f->idle, connect_to(f, f->a, 1), &f->config);
	(void)shutdown(f->peer[f->n - 1], SHUT_WR);
	(void)turns_poll(&f->turns, 0);
	assert_true(f->a->parts[0].fickle);
}

static void test_fickle_server_that_keeps_one(void **state)
{
	struct fixture *f = *state;
	struct conn *c, *other;

	make_fickle(f);
	c = connect_to(f, f->a, 1);
	idle_keep(&f->idle, c, &f->config);
	turns_pass(&f->turns, NSEC_PER_SEC - 1);
	other = connect_to(f, f->a, 1);
	idle_keep(&f->idle, other, &f->config);
	assert_null(idle_take(&f->idle, f->a, NULL, NULL, true));
	/* It has been open for so long: this server does not mean to close it at once. */
	turns_pass(&f->turns, 1);
	assert_ptr_equal(idle_take(&f->idle, f->a, NULL, NULL, true), c);
	assert_null(idle_take(&f->idle, f->a, NULL, NULL, true));
	idle_keep(&f->idle, c, &f->config);
	assert_false(f->a->parts[0].fickle);
}

/* With so many requests that none would stay for long, the first stays. */
static void test_fickle_server_and_many_requests(void **state)
{
	struct fixture *f = *state;
	struct conn *c;

	f->config.keepalive = 1;
	make_fickle(f);
	c = connect_to(f, f->a, 1);
	idle_keep(&f->idle, c, &f->config);
	for (int i = 0; i < 4; i++) {
		turns_pass(&f->turns, NSEC_PER_SEC / 4 - 1);
		assert_null(idle_take(&f->idle, f->a, NULL, NULL, true));
		idle_keep(&f->idle, connect_to(f, f->a, 1), &f->config);
		assert_true(is_closed(f->peer[f->n - 1]));
	}
	turns_pass(&f->turns, 4);
	assert_ptr_equal(idle_take(&f->idle, f->a, NULL, NULL, true), c);
	idle_keep(&f->idle, c, &f->config);
	assert_false(f->a->parts[0].fickle);
	/* From now on it is again the one unused for longest that makes way. */
	idle_keep(&f->idle, connect_to(f, f->a, 1), &f->config);
	assert_true(is_closed(f->peer[1]) && !is_closed(f->peer[f->n - 1]));
	assert_int_equal(turns_reap(&f->turns), 6);
}

/* Those of others are not looked through. */
static void test_of_one_client_among_many(void **state)
{
	struct fixture *f = *state;
	struct conn *conns[400];
	struct sender from = {0};
	const struct kept *k;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	f->config.keepalive = ARRAY_SIZE(conns);
	for (unsigned int i = 0; i < ARRAY_SIZE(conns); i++) {
		struct conn *c = conns[i] = conn_new();

		assert_non_null(c);
		c->fd = dup(ends[0]);
		assert_true(c->fd >= 0);
		c->server = f->a;
		c->peer = address(1);
		c->from.addr.s6_addr[i % 16] = (uint8_t)(1 + i / 16);
		idle_keep(&f->idle, c, &f->config);
	}
	assert_true(f->idle.n_rows >= ARRAY_SIZE(conns));
	for (size_t row = 0; row < f->idle.n_rows; row++) {
		unsigned int n = 0;

		TAILQ_FOREACH (k, &f->idle.rows[row], alike_link)
			n++;
		assert_true(n < 16);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(conns); i++) {
		struct conn *c = conns[i * 7 % ARRAY_SIZE(conns)];

		from = c->from;
		assert_ptr_equal(idle_take(&f->idle, f->a, NULL, &from, false), c);
		assert_null(idle_take(&f->idle, f->a, NULL, &from, false));
		assert_null(idle_take(&f->idle, f->b, NULL, &from, false));
		idle_keep(&f->idle, c, &f->config);
	}
	assert_null(idle_take(&f->idle, f->a, NULL, NULL, false));
	idle_fini(&f->idle);
	assert_int_equal(turns_reap(&f->turns), ARRAY_SIZE(conns));
	(void)close(ends[0]);
	(void)close(ends[1]);
}

/* ---- a client's own --------------------------------------------------------------------- */

static void test_own_is_nobody_elses(void **state)
{
	struct fixture *f = *state;
	struct conn *c = connect_to(f, f->a, 1);

	own_keep(&f->own, &f->idle, c);
	assert_null(idle_take(&f->idle, f->a, NULL, NULL, false));
	assert_false(idle_give_up(&f->idle));
	turns_pass(&f->turns, 2 * KEPT_NS);
	assert_null(own_take(&f->own, f->b, NULL, NULL, false));
	assert_ptr_equal(own_take(&f->own, f->a, NULL, NULL, false), c);
	assert_null(own_take(&f->own, f->a, NULL, NULL, false));
	own_keep(&f->own, &f->idle, c);
	own_close(&f->own);
	assert_true(is_closed(f->peer[0]));
	assert_int_equal(turns_reap(&f->turns), 1);
}

static void test_own_that_is_identified(void **state)
{
	struct fixture *f = *state;
	struct pool_config other = {.name = (char *)"other"};
	struct pool elsewhere = {.config = &other};
	struct conn *c = connect_to(f, f->b, 3);

	c->identified = true;
	own_keep(&f->own, &f->idle, c);
	own_keep(&f->own, &f->idle, connect_to(f, f->a, 1));
	assert_null(own_take_identified(&f->own, &elsewhere));
	assert_ptr_equal(own_take_identified(&f->own, f->pool), c);
	assert_null(own_take_identified(&f->own, f->pool));
	own_keep(&f->own, &f->idle, c);
	/* It has ended meanwhile. */
	(void)shutdown(f->peer[0], SHUT_WR);
	assert_null(own_take_identified(&f->own, f->pool));
	assert_int_equal(turns_reap(&f->turns), 1);
}

static void test_own_that_ends(void **state)
{
	struct fixture *f = *state;
	const struct addr left = address(2);

	own_keep(&f->own, &f->idle, connect_to(f, f->a, 1));
	own_keep(&f->own, &f->idle, connect_to(f, f->a, 1));
	(void)shutdown(f->peer[1], SHUT_WR);
	(void)turns_poll(&f->turns, 0);
	assert_int_equal(f->own.n, 1);
	/* That tells of the server what it tells of those that all clients use. */
	assert_true(f->a->parts[0].fickle);
	assert_null(own_take(&f->own, f->a, NULL, NULL, true));
	(void)server_set_addrs(f->a, &left, 1);
	own_check(&f->own);
	assert_int_equal(f->own.n, 0);
	assert_int_equal(turns_reap(&f->turns), 2);
}

static void test_own_are_few(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 7; i++)
		own_keep(&f->own, &f->idle, connect_to(f, f->a, 1));
	assert_int_equal(f->own.n, 5);
	assert_true(is_closed(f->peer[0]) && is_closed(f->peer[1]) && !is_closed(f->peer[2]));
	assert_int_equal(turns_reap(&f->turns), 2);
}

static void test_own_of_a_fickle_server(void **state)
{
	struct fixture *f = *state;
	struct conn *identified;

	make_fickle(f);
	for (int i = 0; i < 6; i++)
		own_keep(&f->own, &f->idle, connect_to(f, f->a, 1));
	assert_true(!is_closed(f->peer[1]) && is_closed(f->peer[6]));
	/* One of another server is worth more, and so is who the client is. */
	own_keep(&f->own, &f->idle, connect_to(f, f->b, 3));
	assert_true(is_closed(f->peer[1]) && !is_closed(f->peer[7]));
	identified = connect_to(f, f->a, 1);
	identified->identified = true;
	own_keep(&f->own, &f->idle, identified);
	assert_true(is_closed(f->peer[2]) && !is_closed(f->peer[8]));
	turns_pass(&f->turns, NSEC_PER_SEC);
	assert_ptr_equal(own_take(&f->own, f->a, NULL, NULL, true), identified);
	own_keep(&f->own, &f->idle, identified);
	assert_false(f->a->parts[0].fickle);
	assert_int_equal(turns_reap(&f->turns), 4);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_the_one_used_last_comes_first),
	    TEST(test_what_ends_or_speaks_is_dropped),
	    TEST(test_what_was_read_already_ends_nothing),
	    TEST(test_unused_for_too_long),
	    TEST(test_no_more_than_keepalive),
	    TEST(test_what_is_useless_is_not_kept),
	    TEST(test_descriptors_are_needed),
	    TEST(test_address_that_goes),
	    TEST(test_fickle_server),
	    TEST(test_fickle_server_that_keeps_one),
	    TEST(test_fickle_server_and_many_requests),
	    TEST(test_of_one_client_among_many),
	    TEST(test_own_is_nobody_elses),
	    TEST(test_own_that_is_identified),
	    TEST(test_own_that_ends),
	    TEST(test_own_are_few),
	    TEST(test_own_of_a_fickle_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

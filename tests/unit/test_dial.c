/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dials: to real sockets of this host, with a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "../../daemon/upstream/dial.h"
#include "../../daemon/upstream/idle.h"
#include "../../daemon/upstream/own.h"
#include "../../daemon/upstream/pool.h"
#include "turns.h"

#define MAX_SERVERS 4
#define CONNECT_NS  (4 * NSEC_PER_SEC)

struct fixture {
	struct turns turns;
	struct server_config servers[MAX_SERVERS];
	struct pool_config config;
	struct pool *pool;
	struct idle idle;
	struct own own;
	struct dialer dialer;
	uint64_t retries;
	unsigned int marked; /* sockets */
	int reserve;         /* -1: none */
	int listening[MAX_SERVERS];
	struct dial_plan plan;
	struct dial *dial;
	/* What it has told. */
	struct conn *conn;
	int err;
	unsigned int connected, failed;
	enum dial_failure why;
};

/* ---- whom to dial ----------------------------------------------------------------------- */

enum kind {
	LISTENS,
	REFUSES,
	HANGS,    /* its backlog is full */
	NAMELESS, /* its name has no address yet */
	FULL,     /* a unix socket whose backlog is full */
};

static void bind_to_loopback(int fd, struct addr *ret)
{
	*ret = (struct addr){.len = sizeof(struct sockaddr_in)};
	ret->in4.sin_family = AF_INET;
	ret->in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, &ret->sa, ret->len), 0);
	assert_int_equal(getsockname(fd, &ret->sa, &ret->len), 0);
}

/* So many clients wait in a queue that has no room for another one. */
static void fill(const struct addr *a, int n)
{
	for (int i = 0; i < n; i++) {
		int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

		assert_true(connect(fd, &a->sa, a->len) == 0 || errno == EINPROGRESS);
	}
}

static void make_unix(struct fixture *f, size_t i, struct addr *a)
{
	*a = (struct addr){.len = sizeof(struct sockaddr_un)};
	a->un.sun_family = AF_UNIX;
	(void)snprintf(a->un.sun_path + 1, sizeof(a->un.sun_path) - 1, "spliced-test-%d-%zu",
		       (int)getpid(), i);
	f->listening[i] = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(f->listening[i], &a->sa, a->len), 0);
	assert_int_equal(listen(f->listening[i], 0), 0);
	fill(a, 1);
}

static void make_server(struct fixture *f, size_t i, enum kind kind)
{
	static const char *const names[] = {"a", "b", "c", "d"};
	struct server_config *s = &f->servers[i];

	*s = (struct server_config){
	    .name = (char *)names[i], .weight = 1, .endpoint = {.kind = ENDPOINT_ADDR}};
	if (kind == FULL) {
		make_unix(f, i, &s->endpoint.addr);
		return;
	}
	f->listening[i] = socket(AF_INET, SOCK_STREAM, 0);
	bind_to_loopback(f->listening[i], &s->endpoint.addr);
	if (kind != REFUSES)
		assert_int_equal(listen(f->listening[i], kind == HANGS ? 0 : 16), 0);
	if (kind == HANGS)
		fill(&s->endpoint.addr, 1);
	if (kind == NAMELESS)
		s->endpoint.kind = ENDPOINT_NAME;
}

/* ---- what it says ----------------------------------------------------------------------- */

static void on_connected(void *owner, struct conn *c, int err)
{
	struct fixture *f = owner;

	f->connected++;
	f->conn = c;
	f->err = err;
	dial_free(f->dial);
	f->dial = NULL;
}

static void on_failed(void *owner, enum dial_failure why)
{
	struct fixture *f = owner;

	f->failed++;
	f->why = why;
	dial_free(f->dial);
	f->dial = NULL;
}

static const struct dial_calls calls = {on_connected, on_failed};

static void mark(void *arg, int fd, bool bypass _unused_)
{
	struct fixture *f = arg;

	assert_true(fd >= 0);
	f->marked++;
}

static bool spare_fd(void *arg)
{
	struct fixture *f = arg;

	if (f->reserve < 0)
		return false;
	(void)close(f->reserve);
	f->reserve = -1;
	return true;
}

/* ---- the stage -------------------------------------------------------------------------- */

static struct fixture *make(size_t n, const enum kind *kinds)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	for (size_t i = 0; i < MAX_SERVERS; i++)
		f->listening[i] = -1;
	for (size_t i = 0; i < n; i++)
		make_server(f, i, kinds[i]);
	f->config = (struct pool_config){.name = (char *)"test",
					 .servers = f->servers,
					 .n_servers = n,
					 .connect_timeout = CONNECT_NS,
					 .retries = 2,
					 .keepalive = 8,
					 .keepalive_timeout = 60 * NSEC_PER_SEC};
	turns_begin(&f->turns);
	f->reserve = -1;
	return f;
}

static void open_pool(struct fixture *f)
{
	f->pool = pool_new(&f->config, 1, NULL);
	assert_non_null(f->pool);
	idle_init(&f->idle, &f->turns.loop, 0);
	own_init(&f->own);
	f->dialer = (struct dialer){.loop = &f->turns.loop,
				    .idle = &f->idle,
				    .retries = &f->retries,
				    .mark = mark,
				    .spare_fd = spare_fd,
				    .arg = f};
	f->plan.pool = f->pool;
}

#define MAKE(...) \
	make(sizeof((enum kind[]){__VA_ARGS__}) / sizeof(enum kind), (enum kind[]){__VA_ARGS__})

static void start(struct fixture *f)
{
	f->connected = f->failed = 0;
	f->conn = NULL;
	f->dial = dial_new(&f->dialer, &f->plan, &calls, f);
	assert_non_null(f->dial);
	dial_begin(f->dial);
}

/* The owner has been told, or nothing is ready any more. */
static void run(struct fixture *f)
{
	while (!f->connected && !f->failed && turns_poll(&f->turns, f->dial->conn ? 200 : 0) > 0)
		;
}

/* The owner needs its connection no more. */
static void hang_up(struct fixture *f)
{
	server_release(f->conn->server);
	conn_close(f->conn, false);
	loop_conn_gone(&f->turns.loop, f->conn);
}

static void assert_connected(struct fixture *f, size_t server)
{
	assert_int_equal(f->connected, 1);
	assert_int_equal(f->failed, 0);
	assert_ptr_equal(f->conn->server, f->pool->servers[server]);
	assert_true(addr_equal(&f->conn->peer, &f->servers[server].endpoint.addr));
	assert_null(f->conn->event);
}

static void assert_failed(const struct fixture *f, enum dial_failure why)
{
	assert_int_equal(f->connected, 0);
	assert_int_equal(f->failed, 1);
	assert_int_equal(f->why, why);
}

static void done(struct fixture *f)
{
	dial_free(f->dial);
	own_close(&f->own);
	idle_fini(&f->idle);
	for (size_t i = 0; i < f->pool->n_servers; i++)
		assert_int_equal(f->pool->servers[i]->active, 0);
	dialer_fini(&f->dialer);
	turns_end(&f->turns);
	pool_free(f->pool);
	for (size_t i = 0; i < MAX_SERVERS; i++)
		if (f->listening[i] >= 0)
			(void)close(f->listening[i]);
	free(f);
}

/* ---- one server ------------------------------------------------------------------------- */

static void test_server_that_listens(void **state _unused_)
{
	struct fixture *f = MAKE(LISTENS);

	open_pool(f);
	start(f);
	assert_int_equal(f->dial->state, DIAL_CONNECTING);
	assert_ptr_equal(f->dial->server, f->pool->servers[0]);
	run(f);
	assert_connected(f, 0);
	assert_int_equal(f->err, 0);
	assert_int_equal(f->marked, 1);
	assert_int_equal(f->retries, 0);
	assert_int_equal(f->pool->servers[0]->active, 1);
	assert_true(f->conn->tcp && f->conn->writable);
	/* Nothing is due any more. */
	assert_null(f->turns.loop.timers.first);
	hang_up(f);
	done(f);
}

static void test_server_that_resets_at_once(void **state _unused_)
{
	const struct linger hard = {.l_onoff = 1, .l_linger = 0};
	struct fixture *f = MAKE(LISTENS);
	int fd;

	open_pool(f);
	start(f);
	fd = accept(f->listening[0], NULL, NULL);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	(void)close(fd);
	run(f);
	/* It is there: nobody is tried instead. */
	assert_connected(f, 0);
	assert_int_equal(f->err, ECONNRESET);
	assert_int_equal(f->pool->servers[0]->connect_failures, 0);
	hang_up(f);
	done(f);
}

static void test_nobody_waits_any_more(void **state _unused_)
{
	struct fixture *f = MAKE(HANGS);

	f->config.max_fails = 1;
	f->config.fail_timeout = NSEC_PER_SEC;
	open_pool(f);
	start(f);
	turns_pass(&f->turns, CONNECT_NS / 2 - 1);
	dial_free(f->dial);
	assert_int_equal(f->pool->servers[0]->connect_failures, 0);
	/* Of a server that hangs, clients may have enough sooner. */
	start(f);
	turns_pass(&f->turns, CONNECT_NS / 2);
	dial_free(f->dial);
	f->dial = NULL;
	assert_int_equal(f->pool->servers[0]->connect_failures, 1);
	assert_string_equal(server_state(f->pool->servers[0]), "ejected");
	assert_int_equal(f->connected + f->failed, 0);
	done(f);
}

/* So much later, in one turn: what was due meanwhile is late. */
static void be_late(struct fixture *f, uint64_t ns)
{
	f->turns.loop.now += ns;
	(void)timers_fire(&f->turns.loop.timers, f->turns.loop.now);
}

/* Nobody has told yet that the connection was made: epoll had no memory to watch it, say. */
static void test_made_in_time(void **state _unused_)
{
	struct fixture *f = MAKE(LISTENS);

	open_pool(f);
	start(f);
	turns_pass(&f->turns, CONNECT_NS);
	assert_connected(f, 0);
	assert_int_equal(f->pool->servers[0]->connect_failures, 0);
	hang_up(f);
	/* Who waits no more does not make it one that hangs. */
	start(f);
	turns_pass(&f->turns, CONNECT_NS / 2);
	dial_free(f->dial);
	f->dial = NULL;
	assert_int_equal(f->pool->servers[0]->connect_failures, 0);
	done(f);
}

/* A loop that was not there for the whole time gives some more, once. */
static void test_late_loop(void **state _unused_)
{
	struct fixture *f = MAKE(HANGS);

	open_pool(f);
	start(f);
	be_late(f, CONNECT_NS + 300 * NSEC_PER_MSEC);
	turns_pass(&f->turns, 300 * NSEC_PER_MSEC - 1);
	assert_int_equal(f->failed, 0);
	turns_pass(&f->turns, 1);
	assert_failed(f, DIAL_CONNECT_FAILED);
	start(f);
	be_late(f, 10 * CONNECT_NS);
	assert_int_equal(f->failed, 0);
	be_late(f, 10 * CONNECT_NS);
	assert_failed(f, DIAL_CONNECT_FAILED);
	/* What every loop is late by is not worth waiting for. */
	start(f);
	be_late(f, CONNECT_NS + 50 * NSEC_PER_MSEC);
	assert_failed(f, DIAL_CONNECT_FAILED);
	done(f);
}

/* Its owner has ended, and frees it a little later. */
static void test_halted(void **state _unused_)
{
	struct fixture *f = MAKE(REFUSES, LISTENS);

	open_pool(f);
	start(f);
	dial_halt(f->dial);
	for (int i = 0; i < 3; i++)
		turns_poll(&f->turns, 20);
	turns_pass(&f->turns, 2 * CONNECT_NS);
	assert_int_equal(f->connected + f->failed, 0);
	assert_int_equal(f->dial->state, DIAL_CONNECTING);
	assert_ptr_equal(f->dial->server, f->pool->servers[0]);
	assert_int_equal(f->pool->servers[0]->connect_failures, 0);
	dial_halt(NULL);
	done(f);
}

/* The loop would tell it that its socket cannot be watched. */
static void test_halted_while_epoll_refuses(void **state _unused_)
{
	struct fixture *f = MAKE(LISTENS);
	int poll_fd = f->turns.loop.poll_fd;

	open_pool(f);
	f->turns.loop.poll_fd = -1;
	start(f);
	turns_pass(&f->turns, NSEC_PER_SEC / 2);
	dial_halt(f->dial);
	turns_pass(&f->turns, 2 * NSEC_PER_SEC);
	assert_int_equal(f->connected + f->failed, 0);
	f->turns.loop.poll_fd = poll_fd;
	done(f);
}

static void test_epoll_refuses(void **state _unused_)
{
	struct fixture *f = MAKE(LISTENS);
	int poll_fd = f->turns.loop.poll_fd;

	open_pool(f);
	f->turns.loop.poll_fd = -1;
	start(f);
	turns_pass(&f->turns, NSEC_PER_SEC / 2);
	assert_int_equal(f->failed, 0);
	turns_pass(&f->turns, NSEC_PER_SEC);
	assert_failed(f, DIAL_LIMIT);
	assert_int_equal(f->pool->servers[0]->connect_failures, 0);
	/* It does so for a while only. */
	start(f);
	turns_pass(&f->turns, NSEC_PER_SEC / 2);
	f->turns.loop.poll_fd = poll_fd;
	turns_pass(&f->turns, NSEC_PER_SEC);
	run(f);
	assert_connected(f, 0);
	hang_up(f);
	done(f);
}

/* ---- one after the other ---------------------------------------------------------------- */

static void test_the_next_one(void **state _unused_)
{
	struct fixture *f = MAKE(REFUSES, REFUSES, LISTENS);

	open_pool(f);
	start(f);
	run(f);
	assert_connected(f, 2);
	assert_int_equal(f->retries, 2);
	assert_int_equal(f->pool->servers[0]->connect_failures, 1);
	assert_int_equal(f->pool->servers[1]->connect_failures, 1);
	hang_up(f);
	done(f);
}

static void test_backup_comes_last(void **state _unused_)
{
	struct fixture *f = MAKE(LISTENS, REFUSES, REFUSES);

	f->servers[0].backup = true;
	open_pool(f);
	start(f);
	run(f);
	assert_connected(f, 0);
	assert_int_equal(f->retries, 2);
	hang_up(f);
	done(f);
}

static void test_nobody_is_left(void **state _unused_)
{
	struct fixture *f = MAKE(REFUSES, REFUSES);

	open_pool(f);
	start(f);
	run(f);
	assert_failed(f, DIAL_CONNECT_FAILED);
	assert_int_equal(f->retries, 1);
	done(f);
	/* Nobody was there from the beginning. */
	f = MAKE(LISTENS);
	f->servers[0].max_sessions = 1;
	open_pool(f);
	server_count(f->pool->servers[0]);
	start(f);
	assert_failed(f, DIAL_NO_SERVER);
	server_release(f->pool->servers[0]);
	done(f);
}

static void test_server_that_hangs(void **state _unused_)
{
	struct fixture *f = MAKE(HANGS, LISTENS);

	open_pool(f);
	start(f);
	run(f);
	assert_int_equal(f->connected, 0);
	turns_pass(&f->turns, CONNECT_NS - 1);
	assert_ptr_equal(f->dial->server, f->pool->servers[0]);
	turns_pass(&f->turns, 1);
	assert_ptr_equal(f->dial->server, f->pool->servers[1]);
	run(f);
	assert_connected(f, 1);
	assert_int_equal(f->pool->servers[0]->connect_failures, 1);
	hang_up(f);
	done(f);
}

/* connect_timeout x (1 + retries) is enough for all; one more is tried when it is over. */
static void test_all_hang(void **state _unused_)
{
	struct fixture *f = MAKE(HANGS, HANGS, HANGS, HANGS);

	f->config.retries = 1;
	open_pool(f);
	start(f);
	turns_pass(&f->turns, 3 * CONNECT_NS - 1);
	assert_int_equal(f->failed, 0);
	turns_pass(&f->turns, 1);
	assert_failed(f, DIAL_CONNECT_FAILED);
	assert_int_equal(f->retries, 2);
	done(f);
}

static void test_server_that_is_passed_over(void **state _unused_)
{
	struct fixture *f = MAKE(REFUSES, LISTENS);

	f->config.max_fails = 1;
	f->config.fail_timeout = 10 * NSEC_PER_SEC;
	open_pool(f);
	start(f);
	run(f);
	assert_connected(f, 1);
	hang_up(f);
	assert_string_equal(server_state(f->pool->servers[0]), "ejected");
	for (int i = 0; i < 3; i++) {
		start(f);
		run(f);
		assert_connected(f, 1);
		hang_up(f);
	}
	assert_int_equal(f->retries, 1);
	/* Then one dial finds out that it is back. */
	assert_int_equal(listen(f->listening[0], 16), 0);
	turns_pass(&f->turns, 10 * NSEC_PER_SEC);
	start(f);
	if (f->dial->server != f->pool->servers[0]) {
		run(f);
		hang_up(f);
		start(f);
	}
	assert_string_equal(server_state(f->pool->servers[0]), "probing");
	run(f);
	assert_connected(f, 0);
	assert_string_equal(server_state(f->pool->servers[0]), "up");
	hang_up(f);
	done(f);
}

/* ---- with nothing to try it with -------------------------------------------------------- */

/* No descriptor is left; returns what was the limit. */
static struct rlimit take_descriptors(void)
{
	struct rlimit was, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	return was;
}

static void give_descriptors(const struct rlimit *was)
{
	assert_int_equal(setrlimit(RLIMIT_NOFILE, was), 0);
}

static void test_descriptors_come_back(void **state _unused_)
{
	struct fixture *f = MAKE(LISTENS);
	struct rlimit was;

	open_pool(f);
	was = take_descriptors();
	start(f);
	assert_int_equal(f->dial->state, DIAL_WAITING);
	assert_ptr_equal(f->dial->server, f->pool->servers[0]);
	/* It looks at first soon, then more rarely, and never more rarely than that. */
	assert_int_equal(f->dial->timer.at - f->turns.loop.now, NSEC_PER_MSEC);
	turns_pass(&f->turns, NSEC_PER_MSEC);
	assert_int_equal(f->dial->timer.at - f->turns.loop.now, 2 * NSEC_PER_MSEC);
	turns_pass(&f->turns, NSEC_PER_SEC);
	assert_true(f->dial->timer.at - f->turns.loop.now <= 50 * NSEC_PER_MSEC);
	give_descriptors(&was);
	turns_pass(&f->turns, 50 * NSEC_PER_MSEC);
	assert_int_equal(f->dial->state, DIAL_CONNECTING);
	run(f);
	assert_connected(f, 0);
	hang_up(f);
	done(f);
}

static void test_descriptors_do_not_come_back(void **state _unused_)
{
	struct fixture *f = MAKE(LISTENS);
	struct rlimit was;

	open_pool(f);
	was = take_descriptors();
	start(f);
	turns_pass(&f->turns, CONNECT_NS - 1);
	assert_int_equal(f->failed, 0);
	turns_pass(&f->turns, 1);
	give_descriptors(&was);
	assert_failed(f, DIAL_LIMIT);
	/* The server had nothing to do with it. */
	assert_int_equal(f->pool->servers[0]->connect_failures, 0);
	done(f);
}

/* A limit that leaves room for exactly the descriptors that are open, which are all below it. */
static struct rlimit use_up_descriptors(int *highest)
{
	struct rlimit was, tight;

	*highest = dup(0);
	assert_true(*highest >= 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	tight = (struct rlimit){.rlim_cur = (rlim_t)*highest + 1, .rlim_max = was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	return was;
}

static void test_descriptor_of_a_kept_connection(void **state _unused_)
{
	struct fixture *f = MAKE(LISTENS, LISTENS);
	struct rlimit was;
	struct conn *other;

	open_pool(f);
	start(f);
	run(f);
	assert_connected(f, 0);
	server_release(f->conn->server);
	idle_keep(&f->idle, f->conn, &f->config);
	was = use_up_descriptors(&f->reserve);
	/* The kept one goes first, then the reserve, which is for this. */
	start(f);
	run(f);
	assert_connected(f, 1);
	assert_false(idle_give_up(&f->idle));
	assert_true(f->reserve >= 0);
	other = f->conn;
	start(f);
	run(f);
	give_descriptors(&was);
	assert_connected(f, 0);
	assert_int_equal(f->reserve, -1);
	hang_up(f);
	f->conn = other;
	hang_up(f);
	done(f);
}

static void test_name_that_is_looked_up(void **state _unused_)
{
	struct fixture *f = MAKE(NAMELESS);

	open_pool(f);
	start(f);
	assert_int_equal(f->dial->state, DIAL_WAITING);
	assert_null(f->dial->server);
	turns_pass(&f->turns, NSEC_PER_SEC);
	(void)server_set_addrs(f->pool->servers[0], &f->servers[0].endpoint.addr, 1);
	turns_pass(&f->turns, 50 * NSEC_PER_MSEC);
	run(f);
	assert_connected(f, 0);
	hang_up(f);
	/* It is known that there is no such name: nobody waits for one. */
	(void)server_set_addrs(f->pool->servers[0], NULL, 0);
	start(f);
	assert_failed(f, DIAL_NO_SERVER);
	done(f);
}

static void test_unix_backlog_that_is_full(void **state _unused_)
{
	struct fixture *f = MAKE(FULL);
	int fd;

	open_pool(f);
	start(f);
	assert_int_equal(f->dial->state, DIAL_WAITING);
	assert_int_equal(f->marked, 0);
	turns_pass(&f->turns, NSEC_PER_SEC);
	fd = accept(f->listening[0], NULL, NULL);
	turns_pass(&f->turns, 50 * NSEC_PER_MSEC);
	run(f);
	assert_connected(f, 0);
	assert_false(f->conn->tcp);
	hang_up(f);
	(void)close(fd);
	done(f);
}

/* ---- kept connections ------------------------------------------------------------------- */

/* One to that server, connected. */
static struct conn *connect_to(struct fixture *f, size_t server)
{
	struct conn *c;

	f->plan.idle = false;
	do {
		start(f);
		run(f);
		c = f->conn;
		server_release(c->server);
		if (c->server == f->pool->servers[server])
			return c;
		conn_close(c, false);
		loop_conn_gone(&f->turns.loop, c);
	} while (true);
}

static void test_kept_connection_goes_first(void **state _unused_)
{
	struct fixture *f = MAKE(LISTENS);
	struct conn *idle, *own;

	open_pool(f);
	idle = connect_to(f, 0);
	own = connect_to(f, 0);
	idle_keep(&f->idle, idle, &f->config);
	own_keep(&f->own, &f->idle, own);
	f->marked = 0;
	/* The client's own before the worker's, and none that may not be used. */
	f->plan.own = &f->own;
	f->plan.idle = true;
	start(f);
	assert_ptr_equal(f->conn, own);
	hang_up(f);
	start(f);
	assert_ptr_equal(f->conn, idle);
	assert_int_equal(f->marked, 0);
	assert_int_equal(f->pool->servers[0]->active, 1);
	server_release(f->conn->server);
	idle_keep(&f->idle, idle, &f->config);
	f->plan.idle = false;
	start(f);
	run(f);
	assert_true(f->conn != idle);
	assert_int_equal(f->marked, 1);
	hang_up(f);
	done(f);
}

static void test_client_that_is_known_to_a_server(void **state _unused_)
{
	struct fixture *f = MAKE(LISTENS, LISTENS);
	struct conn *c;

	open_pool(f);
	c = connect_to(f, 1);
	c->identified = true;
	own_keep(&f->own, &f->idle, c);
	f->plan.own = &f->own;
	/* Whosever turn it is. */
	for (int i = 0; i < 3; i++) {
		start(f);
		assert_ptr_equal(f->conn, c);
		assert_int_equal(f->pool->servers[1]->active, 1);
		server_release(c->server);
		own_keep(&f->own, &f->idle, c);
	}
	done(f);
}

static void test_kept_by_the_next_server(void **state _unused_)
{
	struct fixture *f = MAKE(REFUSES, LISTENS);
	struct conn *c;

	open_pool(f);
	c = connect_to(f, 1);
	idle_keep(&f->idle, c, &f->config);
	f->plan.idle = true;
	for (int i = 0; i < 2; i++) {
		start(f);
		run(f);
		assert_ptr_equal(f->conn, c);
		server_release(c->server);
		idle_keep(&f->idle, c, &f->config);
	}
	done(f);
}

static void test_states(void **state _unused_)
{
	assert_true(dial_may_enter(DIAL_NEW, DIAL_OVER));
	assert_true(dial_may_enter(DIAL_CONNECTING, DIAL_WAITING));
	for (int i = 0; i < _DIAL_STATE_MAX; i++) {
		assert_false(dial_may_enter((enum dial_state)i, DIAL_NEW));
		assert_false(dial_may_enter(DIAL_OVER, (enum dial_state)i));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_server_that_listens),
	    cmocka_unit_test(test_server_that_resets_at_once),
	    cmocka_unit_test(test_nobody_waits_any_more),
	    cmocka_unit_test(test_made_in_time),
	    cmocka_unit_test(test_late_loop),
	    cmocka_unit_test(test_halted),
	    cmocka_unit_test(test_halted_while_epoll_refuses),
	    cmocka_unit_test(test_epoll_refuses),
	    cmocka_unit_test(test_the_next_one),
	    cmocka_unit_test(test_backup_comes_last),
	    cmocka_unit_test(test_nobody_is_left),
	    cmocka_unit_test(test_server_that_hangs),
	    cmocka_unit_test(test_all_hang),
	    cmocka_unit_test(test_server_that_is_passed_over),
	    cmocka_unit_test(test_descriptors_come_back),
	    cmocka_unit_test(test_descriptors_do_not_come_back),
	    cmocka_unit_test(test_descriptor_of_a_kept_connection),
	    cmocka_unit_test(test_name_that_is_looked_up),
	    cmocka_unit_test(test_unix_backlog_that_is_full),
	    cmocka_unit_test(test_kept_connection_goes_first),
	    cmocka_unit_test(test_client_that_is_known_to_a_server),
	    cmocka_unit_test(test_kept_by_the_next_server),
	    cmocka_unit_test(test_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

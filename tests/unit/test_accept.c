/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients that cannot be taken: they are reset, for an end would be one of their stream. And what
 * counts as a session. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "../../daemon/upstream/pool.h"
#include "stage.h"

static int refused; /* errno that TCP_NODELAY of the worker's sockets fails with; 0: it does not */

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (refused && level == IPPROTO_TCP && name == TCP_NODELAY) {
		errno = refused;
		return -1;
	}
	return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

/* What is counted while a place waits for the client of accept4(); NULL: nobody looks. */
static struct stage *watched;
static unsigned int calls;

/* Of this worker, which has so many descriptors left for clients and connections that are kept;
 * NULL: nobody counts. */
static struct worker *tight;
static size_t descriptors;

int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
	if (watched) {
		struct listener_account *a = watched->daemon.setup->listeners[0].account;

		assert_int_equal(slots_used(&watched->daemon.slots), calls);
		assert_int_equal(atomic_load(&a->active), calls);
		assert_int_equal(atomic_load(&a->places), calls + 1);
		calls++;
	}
	/* As the kernel does: before it looks whether anybody is there. */
	if (tight && tight->idle.n + slots_used(&tight->daemon->slots) >= descriptors) {
		errno = EMFILE;
		return -1;
	}
	return (int)syscall(SYS_accept4, fd, address, len, flags);
}

/* A place that accepting has taken is no session yet, and none when nobody comes. */
static void places_are_no_sessions(void **state _unused_)
{
	struct stage st;
	struct listener *l;
	int client;

	stage_begin(&st, "max_sessions = 2");
	l = &st.daemon.setup->listeners[0];
	client = stage_connect(&st);
	atomic_store(&st.daemon.serving, true);
	watched = &st;
	calls = 0;
	accept_serve(stage_worker(&st), st.daemon.setup);
	for (int i = 0; i < STAGE_WAIT_MS && calls < 2; i++) {
		(void)event_base_loop(stage_worker(&st)->base, EVLOOP_NONBLOCK);
		(void)poll(NULL, 0, 1);
	}
	watched = NULL;
	assert_int_equal(calls, 2); /* the second has found nobody */
	assert_int_equal(slots_used(&st.daemon.slots), 1);
	assert_int_equal(atomic_load(&l->account->active), 1);
	assert_int_equal(atomic_load(&l->account->places), 1);
	assert_true(listener_reserve(l));
	assert_false(listener_reserve(l));
	listener_unreserve(l);
	stage_reset(client);
	stage_settle(&st);
	stage_end(&st);
}

/* One that was in the queue of a passed socket needs what it did not inherit. */
static void who_cannot_be_equipped(void **state _unused_)
{
	struct stage st;
	struct worker *w;
	struct binding *b;
	int client;

	stage_begin(&st, "");
	w = stage_worker(&st);
	b = st.daemon.setup->listeners[0].bindings[0];
	b->wanted = (struct addr){.len = offsetof(struct sockaddr_un, sun_path) + 2,
				  .un = {.sun_family = AF_UNSPEC, .sun_path = "x"}};
	assert_true(addr_is_passed(&b->wanted));
	atomic_store(&st.daemon.serving, true);
	accept_serve(w, st.daemon.setup);
	client = stage_connect(&st);
	refused = ENOPROTOOPT;
	for (int i = 0; i < STAGE_WAIT_MS && !w->stats.accept_failures; i++) {
		(void)event_base_loop(w->base, EVLOOP_NONBLOCK);
		(void)poll(NULL, 0, 1);
	}
	refused = 0;
	assert_int_equal(w->stats.accept_failures, 1);
	assert_int_equal(w->stats.sessions_total, 0);
	stage_hears_last(&st, client, "", -ECONNRESET);
	assert_int_equal(close(client), 0);
	stage_end(&st);
}

/* A connection that is kept for the server; the peer's end. */
static int keep_one(struct stage *st)
{
	struct worker *w = stage_worker(st);
	const struct pool *pool = st->daemon.setup->pools[0];
	struct conn *c = conn_new();
	int fds[2];

	assert_non_null(c);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	c->fd = fds[0];
	c->server = pool->servers[0];
	c->peer = pool->servers[0]->targets[0].addr;
	loop_watch(&w->loop, c, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	stage_settle(st);
	idle_keep(&w->idle, c, pool->config);
	return fds[1];
}

static void turns_until(struct stage *st, uint32_t sessions)
{
	for (int i = 0; i < STAGE_WAIT_MS && slots_used(&st->daemon.slots) < sessions; i++) {
		(void)event_base_loop(stage_worker(st)->base, EVLOOP_NONBLOCK);
		(void)poll(NULL, 0, 1);
	}
	(void)event_base_loop(stage_worker(st)->base, EVLOOP_NONBLOCK);
	assert_int_equal(slots_used(&st->daemon.slots), sessions);
}

/* Where descriptors have run out each client has one that is kept, and no more go than there are
 * clients. */
static void clients_have_what_is_kept(void **state _unused_)
{
	int kept[3], clients[3];
	struct listen_socket *ls;
	struct worker *w;
	struct stage st;

	stage_begin(&st, "");
	w = stage_worker(&st);
	ls = &st.daemon.setup->listeners[0].bindings[0]->sockets[0];
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		kept[i] = keep_one(&st);
	atomic_store(&st.daemon.serving, true);
	accept_serve(w, st.daemon.setup);
	descriptors = ARRAY_SIZE(kept);
	tight = w;
	for (uint32_t i = 0; i < 2; i++) {
		clients[i] = stage_connect(&st);
		turns_until(&st, i + 1);
		assert_int_equal(w->idle.n, ARRAY_SIZE(kept) - i - 1);
		assert_int_equal(w->stats.accept_failures, 0);
		assert_false(ls->paused);
	}
	/* There is none left. */
	idle_fini(&w->idle);
	descriptors = 2;
	clients[2] = stage_connect(&st);
	turns_until(&st, 2);
	for (int i = 0; i < STAGE_WAIT_MS && !ls->paused; i++) {
		(void)event_base_loop(w->base, EVLOOP_NONBLOCK);
		(void)poll(NULL, 0, 1);
	}
	assert_true(ls->paused);
	assert_int_equal(w->stats.accept_failures, 1);
	tight = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		stage_reset(clients[i]);
		assert_int_equal(close(kept[i]), 0);
	}
	stage_settle(&st);
	stage_end(&st);
}

/* So has the reserve, without which nobody is accepted. */
static void the_reserve_has_what_is_kept(void **state _unused_)
{
	struct rlimit before, none;
	struct worker *w;
	struct stage st;
	int kept;

	stage_begin(&st, "");
	w = stage_worker(&st);
	assert_int_equal(close(w->reserve_fd), 0);
	kept = keep_one(&st);
	assert_int_equal(w->idle.n, 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	/* Every number below it is taken. */
	w->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	none = (struct rlimit){.rlim_cur = (rlim_t)w->reserve_fd, .rlim_max = before.rlim_max};
	assert_int_equal(close(w->reserve_fd), 0);
	w->reserve_fd = -1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	atomic_store(&st.daemon.serving, true);
	accept_serve(w, st.daemon.setup);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(w->reserve_fd >= 0);
	assert_int_equal(w->idle.n, 0);
	assert_false(st.daemon.setup->listeners[0].bindings[0]->sockets[0].paused);
	assert_int_equal(close(kept), 0);
	stage_end(&st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(places_are_no_sessions),
	    cmocka_unit_test(who_cannot_be_equipped),
	    cmocka_unit_test(clients_have_what_is_kept),
	    cmocka_unit_test(the_reserve_has_what_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

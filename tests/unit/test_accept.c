/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients that cannot be taken: they are reset, for an end would be one of their stream. And what
 * counts as a session. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <sys/syscall.h>

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

int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
	if (watched) {
		struct listener_account *a = watched->daemon.setup->listeners[0].account;

		assert_int_equal(slots_used(&watched->daemon.slots), calls);
		assert_int_equal(atomic_load(&a->active), calls);
		assert_int_equal(atomic_load(&a->places), calls + 1);
		calls++;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(places_are_no_sessions),
	    cmocka_unit_test(who_cannot_be_equipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

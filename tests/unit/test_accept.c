/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients that cannot be taken: they are reset, for an end would be one of their stream. */
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
	    cmocka_unit_test(who_cannot_be_equipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

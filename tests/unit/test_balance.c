/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which worker gets a connection. The mailboxes and the beginning of a session are the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/resource.h>

/* It is compiled into the test, with these three for those of the daemon. */
#define accept_session   begin_session
#define mailbox_post     post_letter
#define loop_look        look
#define balance_start    start_balanced
#define balance_incoming count_incoming
#include "../../daemon/balance.c"

#define WORKERS 4

/* The session that was begun last, and the letter that was posted last. */
static struct {
	struct worker *worker;
	int fd;
	uint32_t slot;
	bool denied;
} begun;
static struct {
	struct worker *to;
	letter_fn fn;
	void *arg;
} posted;

void accept_session(struct worker *w, struct listener *l _unused_, int fd, uint32_t slot,
		    const struct addr *client _unused_, bool denied)
{
	begun.worker = w;
	begun.fd = fd;
	begun.slot = slot;
	begun.denied = denied;
}

void mailbox_post(struct mailbox *m, struct letter *l _unused_, letter_fn fn, void *arg)
{
	posted.to = container_of(m, struct worker, mail);
	posted.fn = fn;
	posted.arg = arg;
}

void loop_look(struct loop *l _unused_)
{
}

static struct daemon the_daemon;
static struct worker workers[WORKERS];

/* Workers with so many sessions each. */
static void begin(const unsigned int sessions[WORKERS])
{
	memset(&begun, 0, sizeof(begun));
	memset(&posted, 0, sizeof(posted));
	memset(workers, 0, sizeof(workers));
	the_daemon = (struct daemon){.workers = workers, .n_workers = WORKERS};
	for (unsigned int i = 0; i < WORKERS; i++) {
		workers[i].daemon = &the_daemon;
		workers[i].index = i;
		workers[i].load = &workers[i].own_load;
		atomic_store(&workers[i].home.n, sessions[i]);
	}
}

static struct setup setup;
static struct listener listener = {.setup = &setup};

static void start(struct worker *w)
{
	static const struct addr client;

	atomic_store(&setup.refs, 1);
	balance_start(w, &listener, 7, 3, &client, true);
}

static void assert_begun_by(const struct worker *w)
{
	assert_ptr_equal(begun.worker, w);
	assert_int_equal(begun.fd, 7);
	assert_int_equal(begun.slot, 3);
	assert_true(begun.denied);
}

static void deliver(void)
{
	assert_non_null(posted.fn);
	posted.fn(posted.to, posted.arg);
	posted.fn = NULL;
}

static void stays_where_there_are_not_clearly_more(void **state _unused_)
{
	begin((const unsigned int[]){10, 8, 9, 10});
	start(&workers[0]);
	assert_begun_by(&workers[0]);
	assert_null(posted.to);
	assert_int_equal(balance_incoming(&workers[1]), 0);
}

static void goes_to_the_least_busy_one(void **state _unused_)
{
	begin((const unsigned int[]){10, 6, 2, 7});
	start(&workers[0]);
	assert_null(begun.worker);
	assert_ptr_equal(posted.to, &workers[2]);
	assert_int_equal(balance_incoming(&workers[2]), 1);
	/* It keeps what it is begun with. */
	assert_int_equal(atomic_load(&setup.refs), 2);
	deliver();
	assert_int_equal(atomic_load(&setup.refs), 1);
	assert_begun_by(&workers[2]);
	assert_int_equal(balance_incoming(&workers[2]), 0);
}

static void one_on_its_way_counts(void **state _unused_)
{
	begin((const unsigned int[]){2, 9, 1, 9});
	workers[2].load->incoming = 1;
	start(&workers[0]);
	assert_begun_by(&workers[0]);
	assert_null(posted.to);
}

/* The kernel has it, chosen for that worker, or has given it up. */
static void one_that_was_chosen_counts(void **state _unused_)
{
	begin((const unsigned int[]){2, 9, 1, 9});
	workers[2].load->chosen = 8;
	workers[2].load->arrived = 5;
	workers[2].load->lost = 2;
	start(&workers[0]);
	assert_begun_by(&workers[0]);
	workers[2].load->lost = 3;
	start(&workers[0]);
	assert_ptr_equal(posted.to, &workers[2]);
	deliver();
	/* What came unchosen makes nobody idler than that. */
	workers[2].load->arrived = 50;
	atomic_store(&workers[2].home.n, 2);
	posted.to = NULL;
	start(&workers[0]);
	assert_null(posted.to);
	assert_begun_by(&workers[0]);
}

static void a_daemon_that_drains_hands_nothing_over(void **state _unused_)
{
	begin((const unsigned int[]){10, 0, 0, 0});
	atomic_store(&the_daemon.draining, true);
	start(&workers[0]);
	assert_begun_by(&workers[0]);
	assert_null(posted.to);
}

/* The worker that accepts has the reserve for its server's socket. */
static void stays_where_descriptors_are_scarce(void **state _unused_)
{
	struct rlimit before, few;

	begin((const unsigned int[]){10, 0, 0, 0});
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){.rlim_cur = 64, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	start(&workers[0]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_begun_by(&workers[0]);
	assert_null(posted.to);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(stays_where_there_are_not_clearly_more),
	    cmocka_unit_test(goes_to_the_least_busy_one),
	    cmocka_unit_test(one_on_its_way_counts),
	    cmocka_unit_test(one_that_was_chosen_counts),
	    cmocka_unit_test(a_daemon_that_drains_hands_nothing_over),
	    cmocka_unit_test(stays_where_descriptors_are_scarce),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A walk through the sessions of a home: who is visited, and in how many turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../daemon/home.h"
#include "../../daemon/session.h"
#include "../../daemon/walk.h"
#include "turns.h"

#define MANY 1000

struct fixture {
	struct turns turns;
	struct home home;
	struct walk walk;
	struct session *sessions;
	unsigned int over; /* walks that are */
};

static struct fixture *f; /* what a visit tells has no other way */
static unsigned int visits[MANY];
static struct session *ends_next; /* the visit of this one ends the one behind it */

static void visit(struct session *s)
{
	visits[s->id]++;
	if (s != ends_next)
		return;
	s = TAILQ_NEXT(s, link);
	session_unlist(s);
	f->home.n--;
}

static void over(struct walk *w _unused_)
{
	f->over++;
}

static int begin(void **state _unused_)
{
	f = calloc(1, sizeof(*f));
	assert_non_null(f);
	turns_begin(&f->turns);
	f->home.loop = &f->turns.loop;
	TAILQ_INIT(&f->home.live);
	walk_init(&f->walk, &f->home);
	f->walk.visit = visit;
	f->walk.over = over;
	memset(visits, 0, sizeof(visits));
	ends_next = NULL;
	f->sessions = calloc(MANY, sizeof(*f->sessions));
	assert_non_null(f->sessions);
	for (unsigned int i = 0; i < MANY; i++) {
		f->sessions[i].home = &f->home;
		f->sessions[i].id = i;
		TAILQ_INSERT_TAIL(&f->home.live, &f->sessions[i], link);
		f->home.n++;
	}
	return 0;
}

static int end(void **state _unused_)
{
	loop_fini(&f->turns.loop);
	event_base_free(f->turns.base);
	free(f->sessions);
	free(f);
	return 0;
}

/* The tasks of one turn. False: there was none. */
static bool turn(void)
{
	struct loop *l = &f->turns.loop;
	struct task *t;
	bool any = false;

	for (uint32_t n = l->n_again; n && (t = TAILQ_FIRST(&l->again)); n--) {
		any = true;
		loop_not_again(l, t);
		t->run(t);
	}
	return any;
}

static unsigned int turns_of_all(void)
{
	unsigned int n = 0;

	while (turn())
		n++;
	return n;
}

static void assert_all(unsigned int times)
{
	for (unsigned int i = 0; i < MANY; i++)
		assert_int_equal(visits[i], times);
}

static void some_in_a_turn(void **state _unused_)
{
	unsigned int n = 0;

	walk_begin(&f->walk);
	assert_true(turn());
	for (unsigned int i = 0; i < MANY; i++)
		n += visits[i];
	assert_in_range(n, 1, MANY / 4);
	assert_int_equal(f->over, 0);
	assert_in_range(turns_of_all(), 3, 20);
	assert_all(1);
	assert_int_equal(f->over, 1);
}

/* Asked for while one is under way, it begins anew: who was visited has not seen what has changed.
 */
static void again(void **state _unused_)
{
	walk_begin(&f->walk);
	assert_true(turn());
	walk_begin(&f->walk);
	walk_begin(&f->walk);
	(void)turns_of_all();
	assert_all(2);
	assert_int_equal(f->over, 1);
	walk_begin(&f->walk);
	(void)turns_of_all();
	assert_all(3);
	assert_int_equal(f->over, 2);
}

/* The one that is next leaves, whoever makes it. */
static void who_ends_is_passed_over(void **state _unused_)
{
	struct session *s;

	ends_next = &f->sessions[3];
	walk_begin(&f->walk);
	assert_true(turn());
	s = f->walk.next;
	session_unlist(s);
	f->home.n--;
	(void)turns_of_all();
	for (unsigned int i = 0; i < MANY; i++)
		assert_int_equal(visits[i], i != 4 && i != s->id);
	assert_int_equal(f->over, 1);
}

static void nobody(void **state _unused_)
{
	while (!TAILQ_EMPTY(&f->home.live)) {
		session_unlist(TAILQ_FIRST(&f->home.live));
		f->home.n--;
	}
	walk_begin(&f->walk);
	assert_int_equal(turns_of_all(), 1);
	assert_int_equal(f->over, 1);
}

/* Sessions that come all the time do not make it endless. */
static void who_comes_meanwhile(void **state _unused_)
{
	unsigned int n = 0;

	walk_begin(&f->walk);
	while (turn()) {
		for (int i = 0; i < 200; i++) {
			struct session *s = TAILQ_FIRST(&f->home.live);

			session_unlist(s);
			TAILQ_INSERT_TAIL(&f->home.live, s, link);
		}
		assert_in_range(++n, 1, 30);
	}
	assert_int_equal(f->over, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(some_in_a_turn, begin, end),
	    cmocka_unit_test_setup_teardown(again, begin, end),
	    cmocka_unit_test_setup_teardown(who_ends_is_passed_over, begin, end),
	    cmocka_unit_test_setup_teardown(nobody, begin, end),
	    cmocka_unit_test_setup_teardown(who_comes_meanwhile, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "timer.h"

#include "util.h"

#define OWED_FROM_NS (100 * NSEC_PER_MSEC)
#define OWED_MAX_NS  NSEC_PER_SEC

/* Joins two heaps, of which neither root has a sibling. The earlier root stays one, and is nobody's
 * child: its `prev` is the caller's to set. */
static struct timer *join(struct timer *a, struct timer *b)
{
	struct timer *later;

	if (!a || !b)
		return a ? a : b;
	if (b->at < a->at) {
		later = a;
		a = b;
	} else {
		later = b;
	}
	later->prev = a;
	later->next = a->child;
	if (a->child)
		a->child->prev = later;
	a->child = later;
	return a;
}

/*
 * Makes one heap of a list of siblings: joins them by twos, then the pairs from the last to the
 * first. Without recursion, however long the list is.
 */
static struct timer *join_all(struct timer *list)
{
	struct timer *pairs = NULL, *all = NULL;

	while (list) {
		struct timer *a = list, *b = a->next;

		list = b ? b->next : NULL;
		a->next = a->prev = NULL;
		if (b)
			b->next = b->prev = NULL;
		a = join(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct timer *next = pairs->next;

		pairs->next = NULL;
		all = join(all, pairs);
		pairs = next;
	}
	return all;
}

/* Takes a heap out of its siblings' list, with its root. */
static void cut(struct timer *t)
{
	if (t->prev->child == t)
		t->prev->child = t->next;
	else
		t->prev->next = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->next = t->prev = NULL;
}

static void set_root(struct timers *all, struct timer *root)
{
	if (root)
		root->prev = root;
	all->first = root;
}

void timer_cancel(struct timers *all, struct timer *t)
{
	struct timer *rest;

	if (!timer_is_set(t))
		return;
	rest = join_all(t->child);
	t->child = NULL;
	if (t == all->first) {
		t->prev = NULL;
		set_root(all, rest);
	} else {
		cut(t);
		set_root(all, join(all->first, rest));
	}
	all->n--;
}

void timer_set(struct timers *all, struct timer *t, uint64_t at)
{
	timer_cancel(all, t);
	t->at = at;
	set_root(all, join(all->first, t));
	all->n++;
}

uint64_t timer_owes(uint64_t at, uint64_t now)
{
	uint64_t late = now - MIN(at, now);

	return late > OWED_FROM_NS ? MIN(late, OWED_MAX_NS) : 0;
}

size_t timers_fire(struct timers *all, uint64_t now)
{
	size_t max = all->n, n = 0;
	struct timer *t;

	while (n < max && (t = all->first) && t->at <= now) {
		timer_cancel(all, t);
		n++;
		t->fire(t);
	}
	return n;
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "walk.h"

#include "home.h"
#include "session.h"

/* Sessions that are visited in one turn. */
#define BATCH 128

static void set_out(struct walk *w)
{
	w->under_way = true;
	w->again = false;
	w->next = TAILQ_FIRST(&w->home->live);
	/* Others may be put behind those that are there meanwhile, without an end. */
	w->rest = w->home->n * 2;
	loop_again(w->home->loop, &w->task);
}

static void on_task(struct task *task)
{
	struct walk *w = container_of(task, struct walk, task);

	for (int i = 0; w->next && w->rest && i < BATCH; i++) {
		struct session *s = w->next;

		w->next = TAILQ_NEXT(s, link);
		w->rest--;
		w->visit(s);
	}
	if (w->next && w->rest) {
		loop_again(w->home->loop, task);
		return;
	}
	w->next = NULL;
	w->under_way = false;
	if (w->again)
		set_out(w);
	else if (w->over)
		w->over(w);
}

void walk_init(struct walk *w, struct home *home)
{
	w->home = home;
	w->task.run = on_task;
	LIST_INSERT_HEAD(&home->walks, w, link);
}

void walk_begin(struct walk *w)
{
	if (w->under_way)
		w->again = true;
	else
		set_out(w);
}

void walks_pass_over(struct home *home, const struct session *s)
{
	struct walk *w;

	LIST_FOREACH (w, &home->walks, link)
		if (w->next == s)
			w->next = TAILQ_NEXT(s, link);
}

// SPDX-License-Identifier: GPL-2.0-or-later
/* What only the whole file shows to be wrong with what is steered to its listeners. */
#include "steers.h"

#include <errno.h>

#include "file.h"
#include "steer-api.h"
#include "steer.h"

/* One `bind = steer:...`, and what a message about it needs. */
struct steered {
	struct steer steer;
	const struct listener_config *listener;
	const struct addr *addr;
	int line;
};

struct all_steered {
	struct steered *items;
	size_t n;
	size_t rules; /* as the programs have them */
};

static void check_mixed(struct config_file *f, const struct listener_config *l)
{
	bool steered = listener_config_is_steered(l);
	char text[ADDR_STR_MAX], other[ADDR_STR_MAX];

	for (size_t i = 1; i < l->n_binds; i++) {
		if (addr_is_steered(&l->binds[i]) == steered)
			continue;
		file_error(
		    f, listener_config_bind_place(l, i),
		    "bind: %s beside %s in [listener %s]; allowed: a listener of its own for "
		    "what is steered",
		    addr_format(&l->binds[i], text), addr_format(&l->binds[0], other), l->name);
		return;
	}
}

static void check_number(struct config_file *f, struct all_steered *all, const struct steered *s)
{
	size_t before = all->rules;

	all->rules += 1 + s->steer.n_except;
	if (before <= STEER_RULES && all->rules > STEER_RULES)
		file_error(f, s->line,
			   "bind: with this one there are %zu ranges and exceptions that are "
			   "steered; allowed: %d in all listeners together",
			   all->rules, STEER_RULES);
}

/* Two of one listener may: they lead to the same place. */
static void check_overlap(struct config_file *f, const struct all_steered *all,
			  const struct steered *s)
{
	char text[ADDR_STR_MAX], other[ADDR_STR_MAX], ref[FILE_REF_MAX];

	for (size_t i = 0; i < all->n; i++) {
		const struct steered *o = &all->items[i];

		if (o->listener == s->listener || !steer_overlaps(&o->steer, &s->steer))
			continue;
		file_error(f, s->line,
			   "bind: %s overlaps %s of listener %s %s; allowed: each address and port "
			   "steered to one listener, which except can see to",
			   addr_format(s->addr, text), addr_format(o->addr, other),
			   o->listener->name, file_ref(f, s->line, o->line, ref));
		return;
	}
}

static void check_listener(struct config_file *f, struct all_steered *all,
			   const struct listener_config *l)
{
	for (size_t i = 0; i < l->n_binds; i++) {
		struct steered s = {
		    .listener = l, .addr = &l->binds[i], .line = listener_config_bind_place(l, i)};

		if (!addr_is_steered(s.addr))
			continue;
		if (steer_of(s.addr, &s.steer) < 0) {
			f->no_memory = true;
			return;
		}
		check_number(f, all, &s);
		check_overlap(f, all, &s);
		all->items[all->n++] = s;
	}
}

void check_steering(struct config_file *f)
{
	const struct config *c = f->config;
	struct all_steered all = {0};
	size_t n = 0;

	for (size_t i = 0; i < c->n_listeners; i++)
		n += c->listeners[i].n_binds;
	all.items = calloc(n + 1, sizeof(*all.items));
	if (!all.items) {
		f->no_memory = true;
		return;
	}
	for (size_t i = 0; i < c->n_listeners; i++) {
		check_mixed(f, &c->listeners[i]);
		check_listener(f, &all, &c->listeners[i]);
	}
	for (size_t i = 0; i < all.n; i++)
		steer_clear(&all.items[i].steer);
	free(all.items);
}

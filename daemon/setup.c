// SPDX-License-Identifier: GPL-2.0-or-later
#include "setup.h"

#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/steer.h"
#include "home.h"
#include "listener.h"
#include "upstream/pool.h"
#include "util.h"

/* ---- what goes on ----------------------------------------------------------------------- */

/* Pools, or listeners, of the setup before, by their names. */
struct named {
	const char *name;
	size_t at;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static size_t find(const struct named *all, size_t n, const char *name)
{
	const struct named key = {.name = name};
	const struct named *found = n ? bsearch(&key, all, n, sizeof(*all), by_name) : NULL;

	return found ? found->at : SIZE_MAX;
}

static struct named *names_of_pools(const struct setup *s)
{
	struct named *all = calloc(s ? s->n_pools + 1 : 1, sizeof(*all));

	for (size_t i = 0; all && s && i < s->n_pools; i++)
		all[i] = (struct named){s->pools[i]->config->name, i};
	if (all && s)
		qsort(all, s->n_pools, sizeof(*all), by_name);
	return all;
}

static struct named *names_of_listeners(const struct setup *s)
{
	struct named *all = calloc(s ? s->n_listeners + 1 : 1, sizeof(*all));

	for (size_t i = 0; all && s && i < s->n_listeners; i++)
		all[i] = (struct named){s->listeners[i].config->name, i};
	if (all && s)
		qsort(all, s->n_listeners, sizeof(*all), by_name);
	return all;
}

/* ---- making one ------------------------------------------------------------------------- */

static int make_pools(struct setup *s, unsigned int n_workers, const struct setup *was)
{
	_cleanup_free_ struct named *old = names_of_pools(was);
	size_t n_old = was ? was->n_pools : 0;

	s->pools = calloc(s->config->n_pools + 1, sizeof(struct pool *));
	if (!s->pools || !old)
		return -1;
	for (; s->n_pools < s->config->n_pools; s->n_pools++) {
		const struct pool_config *c = &s->config->pools[s->n_pools];
		size_t at = find(old, n_old, c->name);
		struct pool *p = pool_new(c, n_workers, at == SIZE_MAX ? NULL : was->pools[at]);

		if (!p)
			return -1;
		s->pools[s->n_pools] = p;
		s->n_servers += p->n_servers;
	}
	return 0;
}

static int make_listeners(struct setup *s, unsigned int n_workers, const struct setup *was)
{
	_cleanup_free_ struct named *old = names_of_listeners(was);
	size_t n_old = was ? was->n_listeners : 0;

	s->listeners = calloc(s->config->n_listeners + 1, sizeof(*s->listeners));
	if (!s->listeners || !old)
		return -1;
	while (s->n_listeners < s->config->n_listeners) {
		const struct listener_config *c = &s->config->listeners[s->n_listeners];
		size_t at = find(old, n_old, c->name);

		if (listener_init(&s->listeners[s->n_listeners++], s, s->pools, c, n_workers,
				  at == SIZE_MAX ? NULL : &was->listeners[at]) < 0)
			return -1;
		s->listeners[s->n_listeners - 1].intercepts =
		    config_intercepts_to(s->config, c->name);
		s->listeners[s->n_listeners - 1].steered = listener_config_is_steered(c);
	}
	return 0;
}

static void setup_free(struct setup *s)
{
	LIST_REMOVE(s, link);
	for (size_t i = 0; i < s->n_listeners; i++)
		listener_fini(&s->listeners[i]);
	for (size_t i = 0; i < s->n_pools; i++)
		pool_free(s->pools[i]);
	free(s->listeners);
	free(s->pools);
	free(s->parts);
	config_free((struct config *)(uintptr_t)s->config);
	free(s);
}

struct setup *setup_new(struct setups *all, struct config *config, unsigned int n_workers,
			const struct setup *was)
{
	struct setup *s = calloc(1, sizeof(*s));
	size_t size = n_workers * sizeof(*s->parts);

	if (!s) {
		config_free(config);
		return NULL;
	}
	s->config = config;
	s->all = all;
	s->number = ++all->made;
	atomic_store(&s->refs, 1);
	LIST_INSERT_HEAD(&all->list, s, link);
	s->parts = aligned_alloc(sizeof(*s->parts), size);
	if (s->parts)
		memset(s->parts, 0, size);
	if (!s->parts || make_pools(s, n_workers, was) < 0 ||
	    make_listeners(s, n_workers, was) < 0) {
		setup_free(s);
		return NULL;
	}
	return s;
}

void setup_drop(struct setup *s)
{
	setup_free(s);
}

void setup_commit(struct setup *s, const struct setup *was)
{
	for (size_t i = 0; i < s->n_pools; i++)
		pool_commit(s->pools[i]);
	for (size_t i = 0; was && i < was->n_pools; i++)
		s->lost_servers |= pool_retire(was->pools[i]);
}

/* ---- references ------------------------------------------------------------------------- */

static void on_over(void *owner _unused_, void *arg)
{
	struct setup *s = arg;

	if (s->all->pins)
		s->is_over = true;
	else
		setup_free(s);
}

struct setup *setup_ref(struct setup *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void setup_unref(struct setup *s)
{
	/* To free one takes longer than sessions should have to wait. */
	if (atomic_fetch_sub(&s->refs, 1) == 1 && s->all->mail)
		mailbox_post(s->all->mail, &s->over, on_over, s);
}

void setup_join(struct setup *s, struct home *home)
{
	if (s->parts[home->index].sessions++ == 0 && s != home->setup)
		(void)setup_ref(s);
}

void setup_leave(struct setup *s, struct home *home)
{
	if (--s->parts[home->index].sessions == 0 && s != home->setup)
		setup_unref(s);
}

void setup_adopt(struct setup *s, struct home *home)
{
	struct setup *was = home->setup;
	unsigned int part = home->index;

	for (size_t i = 0; was && i < was->n_listeners; i++)
		was->listeners[i].account->parts[part].now = NULL;
	for (size_t i = 0; i < s->n_listeners; i++)
		s->listeners[i].account->parts[part].now = &s->listeners[i];
	home->setup = s;
	/* Sessions that other workers have sent on came sooner. */
	if (s->parts[part].sessions)
		setup_unref(s);
	if (was && !was->parts[part].sessions)
		setup_unref(was);
}

/* ---- all of them ------------------------------------------------------------------------ */

unsigned int setups_count(const struct setups *all)
{
	const struct setup *s;
	unsigned int n = 0;

	LIST_FOREACH (s, &all->list, link)
		n++;
	return n;
}

void setups_pin(struct setups *all)
{
	all->pins++;
}

void setups_unpin(struct setups *all)
{
	struct setup *s, *next;

	if (--all->pins)
		return;
	for (s = LIST_FIRST(&all->list); s; s = next) {
		next = LIST_NEXT(s, link);
		if (s->is_over)
			setup_free(s);
	}
}

void setups_fini(struct setups *all)
{
	struct setup *s;

	while ((s = LIST_FIRST(&all->list)))
		setup_free(s);
}

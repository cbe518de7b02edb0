// SPDX-License-Identifier: GPL-2.0-or-later
#include "totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../daemon.h"
#include "../listener.h"
#include "../upstream/pool.h"
#include "../worker.h"
#include "counter.h"
#include "snapshot.h"

/* Servers that are looked at under one lock. */
#define FIGURES 64

/* No counter becomes less. */
static void raise_to(void *told, const void *now, size_t size)
{
	const uint64_t *from = now;
	uint64_t *to = told;

	for (size_t i = 0; i < size / sizeof(*to); i++)
		to[i] = MAX(to[i], from[i]);
}

static void collect_daemon(struct totals *t, const struct daemon *d, const struct doctor *doctor)
{
	struct stats_snapshot now;

	snapshot_stats(d, doctor, &now);
	raise_to(&t->stats, &now.stats, sizeof(t->stats));
	for (size_t i = 0; i < n_counters; i++)
		if (counters[i].type == COUNTER_GAUGE)
			memcpy((char *)&t->stats + counters[i].offset,
			       (char *)&now.stats + counters[i].offset, sizeof(uint64_t));
	t->verdicts = now.verdicts;
}

static void collect_listener(struct listener_account *a, unsigned int n_workers)
{
	struct listener_stats now = {0};

	for (unsigned int w = 0; w < n_workers; w++)
		counter_sum(&now, &a->parts[w].stats, sizeof(now));
	raise_to(&a->reported, &now, sizeof(now));
}

static void collect_server(struct server *s, unsigned int n_workers)
{
	struct server_stats now = {0};

	for (unsigned int w = 0; w < n_workers; w++)
		counter_sum(&now, &s->parts[w].stats, sizeof(now));
	raise_to(&s->reported.stats, &now, sizeof(now));
}

/* What is known of an address goes with it. */
static void collect_pool(struct pool *p, struct server_figures *ret)
{
	for (size_t i = 0, n; i < p->n_servers; i += n) {
		n = MIN((size_t)FIGURES, p->n_servers - i);
		pool_figures(p, i, n, &ret[i]);
		for (size_t k = i; k < i + n; k++) {
			uint64_t *told = &p->servers[k]->reported.passed_over;

			*told = MAX(*told, ret[k].passed_over);
			ret[k].passed_over = *told;
		}
	}
}

static int make_room(struct totals *t, size_t n)
{
	struct server_figures *more;

	if (n <= t->room)
		return 0;
	more = reallocarray(t->figures, n, sizeof(*more));
	if (!more)
		return -ENOMEM;
	t->figures = more;
	t->room = n;
	return 0;
}

int totals_collect(struct totals *t, const struct daemon *d, const struct doctor *doctor)
{
	const struct setup *s = d->setup;
	size_t at = 0;

	if (make_room(t, s->n_servers) < 0)
		return -ENOMEM;
	collect_daemon(t, d, doctor);
	for (size_t i = 0; i < s->n_listeners; i++)
		collect_listener(s->listeners[i].account, d->n_workers);
	for (size_t i = 0; i < s->n_pools; at += s->pools[i++]->n_servers) {
		collect_pool(s->pools[i], &t->figures[at]);
		for (size_t j = 0; j < s->pools[i]->n_servers; j++)
			collect_server(s->pools[i]->servers[j], d->n_workers);
	}
	return 0;
}

void totals_fini(struct totals *t)
{
	free(t->figures);
	*t = (struct totals){0};
}

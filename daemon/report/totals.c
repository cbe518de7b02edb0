// SPDX-License-Identifier: GPL-2.0-or-later
#include "totals.h"

#include <errno.h>
#include <string.h>

#include "../daemon.h"
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

static void collect_listeners(struct totals *t, const struct daemon *d)
{
	for (size_t i = 0; i < d->n_listeners; i++) {
		struct listener_stats now = {0};

		for (unsigned int w = 0; w < d->n_workers; w++)
			counter_sum(&now, &d->workers[w].home.listener_stats[i], sizeof(now));
		raise_to(&t->listener_stats[i], &now, sizeof(now));
	}
}

static void collect_servers(struct totals *t, const struct daemon *d)
{
	for (size_t i = 0; i < d->n_servers; i++) {
		struct server_stats now = {0};

		for (unsigned int w = 0; w < d->n_workers; w++)
			counter_sum(&now, &d->workers[w].home.server_stats[i], sizeof(now));
		raise_to(&t->server_stats[i], &now, sizeof(now));
	}
}

/* What is known of an address goes with it. */
static void collect_figures(struct totals *t, const struct daemon *d)
{
	struct server_figures now[FIGURES], *told = t->figures;

	for (size_t i = 0; i < d->n_pools; i++) {
		struct pool *p = d->pools[i];

		for (size_t j = 0, n; j < p->n_servers; j += n) {
			n = MIN((size_t)FIGURES, p->n_servers - j);
			pool_figures(p, j, n, now);
			for (size_t k = 0; k < n; k++, told++) {
				now[k].passed_over = MAX(now[k].passed_over, told->passed_over);
				*told = now[k];
			}
		}
	}
}

void totals_collect(struct totals *t, const struct daemon *d, const struct doctor *doctor)
{
	collect_daemon(t, d, doctor);
	collect_listeners(t, d);
	collect_servers(t, d);
	collect_figures(t, d);
}

static void *alloc_stats(size_t n, size_t size)
{
	void *stats = aligned_alloc(STATS_LINE, (n + 1) * size);

	return stats ? memset(stats, 0, (n + 1) * size) : NULL;
}

int totals_init(struct totals *t, const struct daemon *d)
{
	*t = (struct totals){
	    .listener_stats = alloc_stats(d->n_listeners, sizeof(*t->listener_stats)),
	    .server_stats = alloc_stats(d->n_servers, sizeof(*t->server_stats)),
	    .figures = calloc(d->n_servers + 1, sizeof(*t->figures)),
	};
	return t->listener_stats && t->server_stats && t->figures ? 0 : -ENOMEM;
}

void totals_fini(struct totals *t)
{
	free(t->listener_stats);
	free(t->server_stats);
	free(t->figures);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was counted, of all workers, as somebody is told who may not see a counter become less:
 * where what it counts turns out to have been less, it stays until that is made up for.
 */
#pragma once

#include <stdbool.h>

#include "../stats.h"

struct daemon;
struct doctor;
struct server_figures;

struct totals {
	struct stats stats;
	struct listener_stats *listener_stats; /* by listener */
	struct server_stats *server_stats;     /* by server */
	struct server_figures *figures;        /* the same */
	bool verdicts;                         /* there are BPF programs that count them */
};

/* 0 or -ENOMEM; totals_fini() is right in either case. */
int totals_init(struct totals *t, const struct daemon *d);
void totals_fini(struct totals *t);
/* As of the last tally. Main thread only. */
void totals_collect(struct totals *t, const struct daemon *d, const struct doctor *doctor);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was counted, of all workers, as somebody is told who may not see a counter become less:
 * where what it counts turns out to have been less, it stays until that is made up for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "../stats.h"

struct daemon;
struct doctor;
struct server_figures;

struct totals {
	struct stats stats; /* those of listeners and servers are in listener_account and server */
	struct server_figures *figures; /* of each server, in the order of the newest setup */
	size_t room;
	bool verdicts; /* there are BPF programs that count them */
};

/* As of the last tally. Main thread only. 0 or -ENOMEM. */
int totals_collect(struct totals *t, const struct daemon *d, const struct doctor *doctor);
void totals_fini(struct totals *t); /* of one that is all zero at first */

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes on until somebody ends it: top and watch. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pick.h"

struct live {
	const char *path; /* of the control socket */
	uint64_t interval_ns;
	uint64_t count; /* how often; 0: without end */
	bool json;
	struct pick pick; /* of sessions */
};

/*
 * A picture of the daemon on the terminal, again and again; where standard output is none, one of
 * what happened in one interval. 0, or a negative errno which is explained on stderr.
 */
int live_top(const struct live *l);
/* A line for each interval, and one for each change that an operator wants to know. The same. */
int live_watch(const struct live *l);

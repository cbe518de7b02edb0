/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The canary: known data spliced over loopback by a real worker with the real programs, before the
 * kernel engine is offered to anybody. A version number proves nothing on distribution kernels;
 * this does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "../splice/maps.h"
#include "stage.h"

enum canary_check {
	CANARY_BURST,      /* more than the watermarks, into a reader that starts late */
	CANARY_HALF_CLOSE, /* the end of one direction with data in flight, then the other one */
	CANARY_PARTIAL,    /* the first segment half read by the daemon before it is engaged */
	CANARY_BUDGET,     /* a budget that ends inside a segment */
	CANARY_RESET,      /* RST in the middle, from either side */
	_CANARY_MAX,
};

extern const char *const canary_name[_CANARY_MAX];
/* The kernel behaviour a check depends on, in a few words. */
extern const char *const canary_fact[_CANARY_MAX];

/* Runs one check, and again if it failed otherwise than by wrong bytes: a starved machine misses
 * deadlines. What it takes is taken from *time, which it ends with at the latest, but for closing
 * what it opened. The maps must not be in use by anybody else. Blocks, some 10 ms when all is well.
 */
void canary_run(struct maps *maps, enum canary_check check, struct canary_time *time,
		struct canary_result *ret);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A splicer: what the splices of one worker share, and the events of their lanes. */
#pragma once

#include "stream.h"

/*
 * Sets it up for this loop, which gets the ring buffer with this index to read. `maps` is NULL
 * where there is no kernel engine, `memory` where nothing bounds what splices hold in all. 0 or a
 * negative errno; splicer_fini() is right in either case.
 */
int splicer_init(struct splicer *by, struct loop *loop, const struct maps *maps, unsigned int index,
		 struct stats *stats, const struct memory *memory);
/* There is something in the ring buffer: see loop_add(). */
void splicer_events(struct splicer *by);
/* Its splices have all been forgotten. */
void splicer_fini(struct splicer *by);

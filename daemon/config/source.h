/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where settings come from: files, the environment, the command line. A place in one of them is an
 * int: the number of the source above the number of the line, or of the variable, or of the option.
 * Places of the first file are its lines, and no place is 0.
 */
#pragma once

#include <stddef.h>

#include "config.h"

#define PLACE_LINE_BITS 22
#define PLACE_LINE_MAX  ((1 << PLACE_LINE_BITS) - 1)
#define SOURCES_MAX     500 /* with files; few others come behind them: they have 9 bits */

static inline int place_source(int place)
{
	return place >> PLACE_LINE_BITS;
}

static inline int place_line(int place)
{
	return place & PLACE_LINE_MAX;
}

/* The place in front of a new source's first, or -ENOMEM, or -E2BIG of a file beyond SOURCES_MAX.
 */
int source_add(struct config *c, enum config_source_kind kind, const char *name);
/* The place of a new variable or option in the source that was added last; or -ENOMEM. */
int source_add_item(struct config *c, const char *name);
void sources_free(struct config *c);
/* What kind of source a place is in. */
enum config_source_kind place_kind(const struct config *c, int place);

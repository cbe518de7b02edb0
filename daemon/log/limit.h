/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much of one kind is logged: each place in the code (its format) may log 20 messages at once,
 * and one a second in the long run. What is left out is counted, with the last of it. Any thread.
 */
#pragma once

#include <stdbool.h>

#include "line.h"

/* What was left out of one place. */
struct left_out {
	unsigned int n; /* 0: nothing */
	enum log_level level;
	char last[256]; /* the last of it, maybe cut */
};

/* Whether this message may be logged; if so, before->n have not been since the last that was, which
 * is told now. `fmt` is the place, and must live for ever. */
bool limit_allows(enum log_level level, const char *fmt, const char *text, struct left_out *before);

/* Whether something is still to be told. */
bool limit_has_left_out(void);
/* Takes what is to be told of a place that is quiet now, or of any; false: there is none. */
bool limit_take_left_out(bool any, struct left_out *ret);

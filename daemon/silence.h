/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The silence of a session: no byte has moved, and no peer has taken one of those that were moved
 * before. Nothing is read from a side that is paused, or has ended, while the other one still
 * receives what waits for it.
 */
#pragma once

#include <stdint.h>

struct session;

/* Whose taking counts. */
enum silence_of { SILENCE_BOTH, SILENCE_SERVER };

/* From now on silence is counted, whatever was before, against `limit`: returns in how many
 * nanoseconds it must be looked at for the first time. */
uint64_t silence_begin(struct session *s, uint64_t limit);
/* Looks. 0: the session has been silent for `limit`; else in how many nanoseconds to look again. It
 * is over `limit` after the last movement, and at most an eighth of it and some ms later. */
uint64_t silence_left(struct session *s, uint64_t limit, enum silence_of of);

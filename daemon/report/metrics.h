/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the daemon counts and is, as text for Prometheus. Main thread only. */
#pragma once

#include <stddef.h>

struct daemon;
struct doctor;
struct metrics;

/* Of a daemon which with the doctor must outlive it. NULL: out of memory. */
struct metrics *metrics_new(struct daemon *d, const struct doctor *doctor);
void metrics_free(struct metrics *m); /* NULL is allowed */
/*
 * As of the last tally. A counter never becomes less from one text to the next, even where what it
 * counts turns out to have been less: then it stays until that is made up for. The caller owns the
 * text; NULL: out of memory.
 */
char *metrics_text(struct metrics *m, size_t *ret_len);

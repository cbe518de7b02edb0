/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking at applications' sockets, and waiting for what is seen to change. */
#pragma once

#include <stdbool.h>

struct bypass_stream;
struct splicer;

/* Before anything else. */
void bypass_looks_init(struct splicer *by);
/* Looks at the stream's target at once. False: that failed; what was seen before counts, but for
 * that there may be something in its queue. */
bool bypass_look(struct bypass_stream *b);
/*
 * Looks at it again soon, then ever more rarely while nothing leaves the target's queue; then the
 * stream is pumped, with `fresh` set. All those of a splicer that are due together cost one system
 * call.
 */
void bypass_wait(struct bypass_stream *b);
/*
 * Looks at it again ever more rarely, once a second at last: what is waited for may never come. It
 * is pumped meanwhile.
 */
void bypass_wait_patiently(struct bypass_stream *b);
void bypass_unwait(struct bypass_stream *b);

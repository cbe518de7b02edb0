/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pausing: a source waits out of the verdict map until its target has drained. */
#pragma once

#include "stream.h"

/* Pauses the lane if its backlog really is high: it may have drained since the event. */
void kernel_consider_pause(struct stream *s);
/* Pumped in STREAM_PAUSED: goes on when the target has drained. */
void kernel_paused(struct stream *s);

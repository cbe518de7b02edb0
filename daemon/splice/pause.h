/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For a while out of the verdict map: pausing, where a source waits until its target has drained,
 * and copying of what is cheaper to copy. */
#pragma once

#include "stream.h"

/* Pauses the lane if its backlog really is high: it may have drained since the event. */
void kernel_consider_pause(struct stream *s);
/* Its messages are small: takes it back and has it copied, where that is cheaper (choice.h). */
void kernel_consider_copy(struct stream *s);
/* Pumped in STREAM_PAUSED: goes on when the target has drained. */
void kernel_paused(struct stream *s);

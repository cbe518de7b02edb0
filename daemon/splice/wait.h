/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waiting: for a backlog to go, for a proof to come, for memory. */
#pragma once

#include "stream.h"

/* Has the stream wait: it is pumped again soon, then ever more rarely, and at once when the target
 * gets room. `restart` begins again with short waits. */
void stream_wait(struct stream *s, bool restart);
/*
 * The same for a backlog of which `awaited` bytes must go: looks again when they should have gone.
 * Of a target that takes nothing it is its own word that ends the wait, and a timer after some
 * seconds only; it counts as having room when no more than `low` bytes are unsent (0: the system's
 * measure).
 */
void stream_wait_drain(struct stream *s, uint64_t awaited, uint64_t low);
void stream_unwait(struct stream *s);
/* The target says that it has room: a long wait begins again with short ones. */
void stream_roused(struct stream *s);
/* After a pump that its timer has brought about: a wait that it neither renewed nor ended goes on.
 */
void stream_pumped(struct stream *s);

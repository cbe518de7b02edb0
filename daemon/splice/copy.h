/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The copy engine: read, write, and wait for whichever of the two is not ready. It holds memory
 * only while a target takes less than was read.
 */
#pragma once

#include "stream.h"

/* How much one read takes: bounds what waits here for a target that has stopped reading. Where the
 * source gave that much, and the target has room for all of a loop's buffer, the next read takes as
 * much as that: fewer and larger system calls. */
#define COPY_READ (128 * 1024)
/* A session that has moved this much by hand is worth the kernel before it is old enough. */
#define COPY_EARLY_BYTES (64 * 1024)

/*
 * Writes what is pending, as far as the target takes it: waits for the kernel's own bytes first,
 * then for the target's room. The session may have ended when it returns.
 */
void copy_flush(struct stream *s);

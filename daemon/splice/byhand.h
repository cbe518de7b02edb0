/* SPDX-License-Identifier: GPL-2.0-or-later */
/* By hand: a stream that the kernel does not move, or does not move any more. */
#pragma once

#include "stream.h"

/* Why a stream is copied, of what a call of the kernel's has answered (a negative errno). */
enum copy_reason kernel_reason(int err);
/* Whether memory_max is so near that neither the kernel nor the bypass gets anything more. */
bool splicer_is_short(const struct splicer *by);
/*
 * Why the kernel is given no stream now that it does not have. COPY_NONE: it is given them.
 * COPY_MEMORY: for want of memory, see ../memory.h. COPY_UNLOCKED: another program has taken from
 * the daemon's sockets the callback under which they leave the kernel; so it stays, and the log has
 * been told.
 */
enum copy_reason splicer_refuses(const struct splicer *by);
/* The kernel will not be given this stream again; who moves it until then is another matter. */
void kernel_give_up(struct stream *s, enum copy_reason why);
/* From now on the source is read by hand; what is pending goes first. */
void kernel_to_copy(struct stream *s);
/* The source is dead, and the kernel has taken it out of the maps: what it left is copied. */
void kernel_abandon(struct stream *s);
/* Whether a stream that is copied though the kernel could have it (`by_hand`) goes on being copied.
 */
bool stream_stays_by_hand(const struct stream *s);
/* Whether it is copied because it is bulk in small segments (bulk.h), and that goes on: asked after
 * each time that something was read, or nothing was there. */
bool stream_is_bulk_still(struct stream *s);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The target's side: what it was given and has not taken. */
#pragma once

#include "stream.h"

/*
 * Whether the target's TCP has taken every byte the kernel was given for it, so that the daemon may
 * write or shut it down. If not, the stream waits for that now (or its owner has been told of a
 * failure).
 */
bool stream_target_drained(struct stream *s);

/* The same question, for who does not wait: no where the target does not say. */
bool stream_is_drained(struct stream *s);

/* The source is dead and everything it left is written, its end too where it had one: its owner is
 * told once the target's peer has all of it. */
void stream_farewell(struct stream *s);
/*
 * Of what the kernel had redirected before, stream_redirected(): bytes that the target's TCP has
 * not taken. A close of the target throws them away. Never more than that, whatever came since.
 */
uint64_t stream_undelivered(const struct stream *s, uint64_t redirected);
/* The target is about to be closed: what it has not taken was not moved. The stream may get another
 * target. */
void stream_forsake(struct stream *s);
/* Both sockets are about to be closed, and nothing is counted any more. */
void stream_close(struct stream *s);

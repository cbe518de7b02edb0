/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Budgets: the kernel moves so many bytes of a stream and no more, and the daemon goes on behind
 * them. The stream is otherwise read by hand (see struct engine). Each budget has the stream's
 * lane for itself: the pair of sockets may be another one than before.
 */
#pragma once

#include "stream.h"

/* Whether the kernel could move anything from the source to the target at all. */
bool budget_possible(const struct stream *st);
/*
 * Gives the next `bytes` bytes (UINT64_MAX: all that come) to the kernel; everything read must have
 * been written, and the target's backlog must be empty. 0: until the stream is back, it is not read
 * by hand. A negative errno: it stays by hand, and why_copy says the reason.
 */
int budget_engage(struct stream *st, uint64_t bytes);
/* The stream is back: returns how many bytes of the budget the kernel has moved, and closes the
 * account. What the kernel has handed up is pending. */
uint64_t budget_settle(struct stream *st);
/* Takes it back before it is used up: nobody wants those bytes any more. The stream is by hand when
 * this returns, or soon after. */
void budget_revoke(struct stream *st);
/* Whether the kernel has moved all that it may. */
bool budget_spent(const struct stream *st);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Budgets: the kernel moves so many bytes of a stream and no more, and the daemon goes on behind
 * them. The stream is otherwise read by hand (see struct engine). Each budget has the stream's
 * lane for itself: the pair of sockets may be another one than before.
 */
#pragma once

#include "stream.h"

/*
 * Whether the kernel can be given a budget of so many bytes now, UINT64_MAX for all that come. A
 * segment that goes beyond a limit is handed up, and must not be behind bytes that were redirected
 * to its own socket: the kernel would charge the socket's memory without its lock
 * (sk_psock_backlog(), sk_psock_skb_ingress()). So where one direction of two sockets has a limit,
 * the kernel has the other one not.
 */
bool budget_possible(struct stream *st, uint64_t bytes);
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

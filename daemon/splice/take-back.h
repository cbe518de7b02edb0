/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking back: a source leaves the verdict map without losing a byte. */
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include "stream.h"

/*
 * The source's SO_RCVLOWAT takes the socket lock and decides when data raises data_ready, and so a
 * verdict. A large value holds verdicts off (and makes the kernel grow the receive buffer to fit);
 * 1 lets them run and runs one at once if data waits.
 */
void kernel_hold(const struct stream *s);
void kernel_kick(const struct stream *s);
/*
 * Takes the source out of the verdict map. 0: its bytes now wait in its receive queue. -EAGAIN:
 * bytes were handed up meanwhile and must be read in the map, so it is still there, held. -EBUSY:
 * it cannot leave now (its FIN has come, or memory is short); still there, held. -EBADMSG: it left,
 * but bytes that were handed up cannot be read any more. Other: an error of the connection.
 */
int kernel_take_back(struct stream *s);
/* The same for a source that need not leave: not at the risk of a segment, -EBUSY. */
int kernel_take_back_safely(struct stream *s);
/*
 * Reads what was handed up, in the map. If that is all that has come, and the read opens the
 * receive window, the source leaves before its sender hears of the room: *left. What comes from
 * then on waits in its receive queue. Returns recvmsg()'s result or -errno.
 */
ssize_t kernel_read_and_leave(struct stream *s, struct msghdr *m, bool *left);
/* kernel_take_back() failed for good: the peer is gone, or bytes are. */
void kernel_taken_badly(struct stream *s, int err);

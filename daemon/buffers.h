/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The buffers of one TCP socket where memory is scarce: see memory.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* uapi linux/socket.h, which <sys/socket.h> hides: for SO_BUF_LOCK. */
#ifndef SOCK_RCVBUF_LOCK
#define SOCK_SNDBUF_LOCK 1
#define SOCK_RCVBUF_LOCK 2
#endif

struct conn;

/*
 * Gives the socket buffers of `share` bytes in each direction, or the usual ones (0), where it has
 * others by now and the change is worth the calls. `window` is what a spliced socket offers to its
 * sender usually (splice_window). What that was promised already may still come, unless `hard`: TCP
 * drops what does not fit then, and its sender repeats it. It cannot fail: a socket whose options
 * are refused keeps what it has, and works. Nothing for a conn without a TCP socket.
 *
 * The usual ones are not to be set while the socket's bytes are read by hand out of the kernel
 * engine (STREAM_SERVING).
 */
void buffers_set(struct conn *c, uint64_t share, uint64_t window, bool hard);
/*
 * Whether somebody puts bytes into the socket's send buffer who has looked for room there before:
 * where memory is scarce it is not made smaller meanwhile, and that is made good afterwards.
 */
void buffers_outlet(struct conn *c, bool is);
/*
 * The usual receive window of a spliced socket: `window`, but two of the largest segments at the
 * least. The kernel tells a sender of more room when there is twice as much as that knows of, and a
 * sender whose next segment does not fit into what it knows of would wait for a timer, 200 ms.
 */
uint64_t buffers_usual(struct conn *c, uint64_t window);
/* `most` bytes of a mark on what waits for this socket, or of its receive window; less where memory
 * is scarce. */
uint64_t buffers_mark(const struct conn *c, uint64_t most);
/* From so many waiting bytes on the kernel hands up what still comes: a pause that comes late costs
 * what is between the two, of every session. */
uint64_t buffers_hard(const struct conn *c, uint64_t most_high, uint64_t most_hard);
uint64_t buffers_window(const struct conn *c, uint64_t most);

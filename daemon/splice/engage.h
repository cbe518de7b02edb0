/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Engaging: a stream is given to the kernel. */
#pragma once

#include "stream.h"

/*
 * Gives the stream a lane of its own with this limit, 0 or a negative errno; and takes it away
 * again, when the source is out of the verdict map or has ended.
 */
int kernel_share(struct stream *s, uint64_t limit);
void kernel_unshare(struct stream *s);
/*
 * Engages a stream that has a lane: every byte read must have been written. 0, or a negative errno
 * after recording why_copy; -EAGAIN: it is tried again in the next turn, and nothing has changed.
 */
int kernel_engage(struct stream *s);
/* The splice has lanes now: it is counted as moved by the kernel, if it was not before. */
void kernel_adopted(struct splice *sp);
/*
 * Removes what a connection left in the maps. Its socket is closed, or out of the verdict map. 0,
 * or a negative errno: something is still there, and the connection must be kept until another try
 * has removed it, for the entry would stay for ever.
 */
int kernel_forget_conn(const struct maps *m, struct conn *c);

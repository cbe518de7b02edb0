/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing to one side of an HTTP connection, and keeping what it has no room for. */
#pragma once

#include "exchange.h"

/*
 * Writes the pieces, after what is kept already; what does not fit is kept, so that this is done
 * only when nothing was. The kernel's own bytes for that side must have been taken by its TCP (see
 * stream_target_drained()). 0, or a negative errno of the socket, or -ENOMEM.
 */
int http_write(struct session *s, enum side side, struct iovec *iov, int n);
/* The same where something may be kept that has not gone out yet: they go behind it. For what has
 * an end: the bound of what is kept is that a side is not written to as long as something is. */
int http_write_behind(struct session *s, enum side side, struct iovec *iov, int n);
/* Writes what is kept, as far as there is room. True: nothing is left, the side can be written to.
 * False: it has to be waited for, or the connection has failed and was dealt with. */
bool http_flush(struct session *s, enum side side);

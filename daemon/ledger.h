/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the log and the counters say was moved to a connection, against what its TCP has taken: the
 * proof that no close throws away bytes that were counted. Off unless it is asked for (a build with
 * sanitizers, or SPLICED_DEBUG=check-bytes, which the test suite sets): it costs two system calls
 * with each close and nothing in between.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "conn.h"

/* From now on every close is checked. Called before there are threads. */
void ledger_check_bytes(void);
/*
 * Bytes up to position `end` of what this connection was ever given were counted as moved: `sent`
 * of it, and what the kernel redirected. Never lowered.
 */
void ledger_claim(struct conn *c, uint64_t end);
/*
 * Bytes that the connection has taken by now: those that its TCP has in its write queue or that its
 * peer has acknowledged, heads and framing included. False: that cannot be known.
 */
bool ledger_taken(const struct conn *c, uint64_t *ret);
/* Just before the close: ends the process, after an error in the log, if less was taken than was
 * claimed. */
void ledger_close(const struct conn *c);

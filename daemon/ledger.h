/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the log and the counters say was moved to a connection, against what its TCP has taken: the
 * proof that no close throws away bytes that were counted. Off unless it is asked for (a build with
 * sanitizers, or SPLICED_DEBUG=check-bytes, which the test suite sets): it costs two system calls
 * with each close and nothing in between. conn.h has what was counted, and what was taken.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* From now on every close is checked. Called before there are threads. */
void ledger_check_bytes(void);
bool ledger_is_checking(void);
/* Just before the close of one of `whose` sockets: ends the process, after an error in the log, if
 * less was taken than was claimed. */
void ledger_check(const char *whose, uint64_t claimed, uint64_t taken);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the kernel engine ask of one another; nobody else includes this. */
#pragma once

#include "kernel.h"

/* ---- kernel.c --------------------------------------------------------------------------- */

/* Bytes handed up so far. */
uint64_t kernel_passed(const struct stream *s);
enum copy_reason kernel_reason(int err);
/* The kernel will not be given this stream again; who moves it until then is another matter. */
void kernel_give_up(struct stream *s, enum copy_reason why);
/* From now on the copy engine reads the source; what is pending goes first. */
void kernel_to_copy(struct stream *s);

/* ---- take-back.c ------------------------------------------------------------------------ */

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
/* kernel_take_back() failed for good: the peer is gone, or bytes are. */
void kernel_taken_badly(struct stream *s, int err);

/* ---- pause.c ---------------------------------------------------------------------------- */

/* Pauses the lane if its backlog really is high: it may have drained since the event. */
void kernel_consider_pause(struct stream *s);
/* Pumped in STREAM_PAUSED: goes on when the target has drained. */
void kernel_paused(struct stream *s);

/* ---- serve.c ---------------------------------------------------------------------------- */

/* Bytes were handed up: begins to read them. */
void kernel_start_serving(struct stream *s);
/* Pumped in STREAM_SERVING. */
void kernel_serve(struct stream *s);
/* Whether every byte of the ended source is accounted for; if not yet, it is waited for. */
bool kernel_proved(struct stream *s);

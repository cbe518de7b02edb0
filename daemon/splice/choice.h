/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The choice: whether a stream that the kernel could move is cheaper to copy, for what it does now.
 * One place for the measures and for both reasons (enum choice); both engines ask here.
 *
 * CHOICE_LONE, after a pause: the only stream of its splicer to be paused, with a fast target. When
 * the target's write queue is full the kernel looks again a timer tick later, so on its own it
 * would leave one stream, and an idle processor, waiting. With several streams they fill each
 * other's gaps, and a slow target is busy for longer than a tick with what it has: there the
 * kernel's path is the cheaper one.
 *
 * CHOICE_SMALL, with engine = auto: small messages, one soon after the other, whose target has them
 * sent at once, of several sessions at a time. For each of them the kernel wakes a worker, which
 * costs more than a read and a write of many such streams in one turn; but less than to wake the
 * daemon for one of them alone. In the kernel the verdict program counts them (LANE_SMALL), and
 * posts one event; by hand each read is one. It goes to the kernel when messages become large, or
 * rare (there it wakes nobody), or the target slow, or the other sessions silent.
 */
#pragma once

#include "stream.h"

/* By hand: one read has given so many bytes. May end CHOICE_SMALL. */
void choice_read(struct stream *s, size_t n);
/* By hand: what was there is moved for now. `idle`: the source has no more. `blocked`: the target
 * has no room. May end either. */
void choice_moved(struct stream *s, bool idle, bool blocked);
/* Whether a stream is to be copied that could be engaged after a pause: `unsent` bytes are left. */
bool choice_after_pause(struct stream *s, uint64_t unsent);
/* Whether one is to be copied that could stay engaged: it has had LANE_SMALL_RUN small messages. */
bool choice_after_run(struct stream *s);
/* It is copied by hand from now on, until choice_read() or choice_moved() ends that. */
void choice_begin(struct stream *s, enum choice why);
/* And the kernel may have it again, as far as this goes. */
void choice_end(struct stream *s);
/*
 * Whether a splice that was copied so far goes on so (both streams' why_copy is COPY_SMALL then) or
 * is adopted. Only asked with both streams by hand.
 */
bool choice_postpones(struct splice *sp);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Adopting: a splice that was copied so far is given to the kernel, or to the bypass. */
#pragma once

#include "stream.h"

/* Adopts it when it is `engage_after` old, from this turn on, unless it has ended by then. */
void splice_adopt_later(struct splice *sp);
static inline bool splice_is_awaiting(const struct splice *sp)
{
	return sp->list == &sp->by->awaiting;
}
/*
 * Gives both streams to the kernel, each if it can be. A stream that cannot be engaged stays with
 * the copy engine and its why_copy says the reason. If it wants the bypass that is tried before.
 */
void splice_adopt_now(struct splice *sp);
/*
 * The same of one stream, which is copied until then, where the kernel engine is for its splice:
 * the other one is not the kernel's.
 */
void stream_adopt(struct stream *s);
/* Both streams are copied from now on; the bypass or the kernel gets them in time where it may.
 * Where neither is ever for the splice, it is counted as copied. */
void splice_choose_engine(struct splice *sp);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An outlet: the daemon's socket at the far side of a session of which one application alone is
 * joined. It is the target of that one's way, and a socket of TCP as any other: the daemon sends on
 * it while the way carries data, and reads what comes.
 */
#pragma once

#include "../splice/stream.h"

/* Whether it has too much unsent, or too little room, for what the source would send next. */
bool outlet_must_wait(const struct stream *s);
/* Looks at it, if the source may be stopped: what was seen before is not enough to let it go on. */
void outlet_look(const struct stream *s);
/* How many bytes of the source may be read: no tokens that it was stopped by since that look. */
size_t outlet_read_size(const struct stream *s);
/* It says when it has room, and its TCP makes more where it could use that. */
void outlet_ask(const struct stream *s);
/* Writes what is pending. 0; -EAGAIN: it has no room, and says when; or the owner was told of a
 * failure. */
int outlet_carry(struct stream *s);
/* Whether it is dead, which the owner was told, or has known. False of a target that is none. */
bool outlet_has_failed(struct stream *s);
/* What memory there is for it has changed, or may have. */
void outlet_bound(const struct stream *s);
/* The program puts nothing there any more: it is as it was. */
void outlet_undo(const struct stream *s);

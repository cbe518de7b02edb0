/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A splice, as its owner has it: two sockets, of which each gets what the other one sends. It moves
 * bytes and ends streams by itself, and says what has happened by struct splice_owner.
 */
#pragma once

#include "byhand.h"
#include "drain.h"
#include "stream.h"
#include "wait.h"

/*
 * Begins a splice of which only the client's socket is there; by, settings, owner and streams are
 * set, and the rest is zero. Its streams are STREAM_NEW.
 */
void splice_begin(struct splice *sp, struct conn *client);
/* From now on this is its backend; NULL: it has none. */
void splice_attach(struct splice *sp, struct conn *backend);
/* Who moves the bytes of both streams from now on, as long as the kernel does not. */
void splice_by_hand(struct splice *sp, const struct engine *hand);
/*
 * From here on both streams are forwarded as they come, what is pending first. Both sockets are
 * connected, and the streams have no lane and are STREAM_NEW or STREAM_COPY. It may have ended when
 * this returns. Where the kernel engine is never for it, it is counted as copied.
 */
void splice_open(struct splice *sp);
/* Calls whoever moves the stream's bytes; nothing where the splice has ended. */
void stream_pump(struct stream *s);
/* Looks whether something of what one application has sent directly waits in the other's queue;
 * what has been read since the last look is a movement. */
bool splice_is_unread(struct splice *sp);
/* It has ended: nothing is moved any more. The sockets are open still. */
void splice_stop(struct splice *sp);
/* Whether its sockets may be closed: no, for a short time, while bytes that one application has
 * sent directly wait in the other's queue, which a close would discard. */
bool splice_may_close(struct splice *sp);
/* It has ended, and its sockets are about to be closed: nothing is counted any more. */
void splice_close(struct splice *sp);
/*
 * Removes what it, or one of its sockets, left in the maps; the sockets are closed. 0, or a
 * negative errno: see kernel_forget_conn().
 */
int splice_forget(struct splice *sp);
/* Frees what its streams hold. */
void splice_fini(struct splice *sp);

/* What moves bytes, for people: "kernel" or "copy". */
static inline const char *engine_str(bool kernel)
{
	return kernel ? "kernel" : "copy";
}
/* What moves its bytes, or has moved them: one of these two, or "bypass". */
const char *splice_engine(const struct splice *sp);

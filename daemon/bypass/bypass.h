/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bypass, as a splice has it: two applications of this host that talk through the daemon are
 * joined, so that what one sends is in the other's queue at once (see bypass-api.h). The daemon's
 * sockets carry what was sent before, the ends, and tokens. Of one alone what it sends is in the
 * TCP of the daemon's other socket at once, and what it gets is copied.
 */
#pragma once

#include <stdbool.h>

#include "../splice/stream.h"

/* The splice is open: whether its applications may be joined when it is old enough. It is copied
 * until then. */
bool bypass_expect(struct splice *sp);
/* It is: joins them as soon as may be, or has refused that. False: there is no memory for it. */
bool bypass_begin(struct splice *sp);
/* Looks at what both applications have not read yet: whether there is such. What they have read
 * since the last look counts as a movement of the splice. */
bool bypass_is_unread(struct splice *sp);
/* Nothing is moved any more. */
void bypass_stop(struct splice *sp);
/* Whether nothing waits in an application's queue that the close of its connection would discard,
 * or that has been waited for long enough. Of one that has ended. */
bool bypass_may_close(struct splice *sp);
/* There is more memory for its sockets, or less: see buffers_set(). */
void bypass_bound(const struct splice *sp);
/* The sockets are about to be closed: the applications' next sends are TCP's. */
void bypass_close(struct splice *sp);
/* Removes what is left in the maps; the sockets are closed. 0 or a negative errno: to be tried
 * again. */
int bypass_forget(struct splice *sp);
void bypass_free(struct splice *sp);
/* Whether its applications were joined. */
bool bypass_was_joined(const struct splice *sp);
/* Whether that is not decided: nobody has counted why it was not. */
bool bypass_is_open(const struct splice *sp);
/* Why a direction is bypassed no more, or never was; WAY_NOT_LEFT: it is, or was never to be. */
enum way_why bypass_why(const struct stream *s);
/* The same of both, for the log: a word; "yes": neither. */
const char *bypass_word(const struct splice *sp);

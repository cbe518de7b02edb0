/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mark on the sockets that this process makes, by which programs that intercept connects, its
 * own and those of other daemons of this kind, know them and leave them alone: see INTERCEPT_MARK.
 */
#pragma once

struct mark;

/* From now on sockets that the process makes have the mark. Needs privileges. 0, or a negative
 * errno and a sentence in `why`. */
int mark_open(struct mark **ret, char why[256]);
/* New ones do not have it any more. NULL is allowed. */
void mark_close(struct mark *m);

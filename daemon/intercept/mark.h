/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mark on the sockets that this process makes, and that its listeners accept, by which programs
 * that intercept connects, or join applications, its own and those of other daemons of this kind,
 * know them and leave them alone: see INTERCEPT_MARK.
 */
#pragma once

struct mark;

/* From now on sockets that the process makes have the mark. Needs privileges. 0, or a negative
 * errno and a sentence in `why`. */
int mark_open(struct mark **ret, char why[256]);
/* What that listener accepts has it, too, from now on and until mark_keep_made(). NULL is allowed.
 * 0 or a negative errno. */
int mark_listener(const struct mark *m, int fd);
/* Accepted ones do not get it any more: the kernel engine's are known otherwise. NULL is allowed.
 */
void mark_keep_made(struct mark *m);
/* New ones do not have it any more. NULL is allowed. */
void mark_close(struct mark *m);

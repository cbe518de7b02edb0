/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an operator wants of servers (drain, maint, weight), for the worker process after this one:
 * it is left with the parent as a text (slate.h), which says of each server that is not as in the
 * file what it is. Pool, name and address make a server the same one, as at a reload. Main thread
 * only.
 */
#pragma once

struct daemon;

/* The servers become what the worker process before left, all of them; nothing, where none did.
 * What fails is logged. */
void standings_take(struct daemon *d);
/* From now on it is this process that says what they are: leaves it with the parent. What fails is
 * logged. */
void standings_leave(struct daemon *d);
/* Something has changed: when this returns it survives this process. What fails is logged; nothing
 * before standings_leave(). */
void standings_write(struct daemon *d);
void standings_close(struct daemon *d);

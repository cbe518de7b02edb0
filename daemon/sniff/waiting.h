/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sessions whose clients have not said enough: max_sniffing bounds their number. */
#pragma once

struct session;

/* One that has a sniff_state is one of them from now on. Where there are too many, the one that
 * has waited longest is ended. */
void sniff_wait(struct session *s);
/* It has said enough, or has ended: no longer one of them, and without its sniff_state. Nothing for
 * one that is none. */
void sniff_done(struct session *s);
/* Nothing more is read for it, though it is one of them still: another protocol takes over. */
void sniff_leave(struct session *s);

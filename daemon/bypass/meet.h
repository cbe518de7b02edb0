/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Meeting: a session whose applications may be joined is copied until a moment at which both are
 * known, nothing is on its way to either, and nothing waits there unread.
 */
#pragma once

#include "pair.h"

extern const struct engine engine_meeting;

/* Looks for the two applications, while what was noted of them is there: it gives way to that of
 * later ones. False: they will not be joined. */
bool bypass_know(struct bypass *b);
/* The applications will not be joined: it goes on as any other splice. */
void bypass_refuse(struct bypass *b, enum way_why why);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Meeting: a session whose applications may be joined is copied until a moment at which both are
 * known, nothing is on its way to either, and nothing waits there unread.
 */
#pragma once

#include "pair.h"

extern const struct engine engine_meeting;

/* The applications will not be joined: it goes on as any other splice. */
void bypass_refuse(struct bypass *b, enum way_why why);

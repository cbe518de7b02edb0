/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the daemon does for a stream whose applications are joined. */
#pragma once

#include "../splice/stream.h"

extern const struct engine engine_bypass;

/* A receive buffer of so many bytes for a socket of the daemon's; 0: one of the system's size. */
void bypass_buffer(struct conn *c, int bytes);

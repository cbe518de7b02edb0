/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of a stream, with proof. */
#pragma once

#include "stream.h"

/*
 * Pumped in STREAM_ENDING: waits until the target's TCP has taken every byte, then passes the end
 * on.
 */
void stream_finish(struct stream *s);

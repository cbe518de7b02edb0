/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Releasing: the kernel gives a stream back for good. */
#pragma once

#include "stream.h"

/*
 * Takes the stream back for good, before its source is shut down for writing: from then on the
 * kernel would discard handed-up bytes at TIME_WAIT. Returns 0 when it is copied now, -EAGAIN when
 * handed-up bytes must be served first, another negative errno when the splice has ended over it.
 */
int kernel_release(struct stream *s);

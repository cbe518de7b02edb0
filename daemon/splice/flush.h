/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing by hand: what is pending for a target. */
#pragma once

#include "stream.h"

/* Writes len bytes, and keeps what the target does not take as pending. 0 or a negative errno: of
 * the target, or -ENOMEM. */
int stream_write(struct stream *s, const char *data, size_t len);
/* Writes what is pending, as far as the target has room. 0 or a negative errno of the target. */
int stream_flush(struct stream *s);
/*
 * Writes what is pending, as far as the target takes it: waits for the kernel's own bytes first,
 * then for the target's room. The splice may have ended when it returns.
 */
void copy_flush(struct stream *s);

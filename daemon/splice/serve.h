/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Serving: the kernel handed bytes up, and the daemon reads them in order. */
#pragma once

#include "stream.h"

/* Bytes were handed up: begins to read them. */
void kernel_start_serving(struct stream *s);
/* Pumped in STREAM_SERVING. */
void kernel_serve(struct stream *s);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel engine: what a stream does that the kernel has. */
#pragma once

#include "stream.h"

/* Pumped while the kernel has it: see stream_in_kernel(). */
void kernel_pump(struct stream *s);

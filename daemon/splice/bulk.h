/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bulk in small segments: one side sends many of them, and hardly anything comes back. The kernel
 * wakes a thread for each, while a read by hand takes all that has come since the last one. So such
 * a stream of the kernel's is copied for a while.
 */
#pragma once

#include "stream.h"

/*
 * Looks at what the kernel has moved of an engaged stream, and takes it back to be copied where
 * that was such. It may have left STREAM_ENGAGED then, or the owner was told of an error. Nothing
 * is risked for it: a source that cannot leave under its lock stays.
 */
void bulk_look(struct stream *s);

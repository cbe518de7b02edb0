/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A way that was asked to be left, and whose source sends nothing: the daemon leaves it in the
 * program's stead.
 */
#pragma once

#include <stdbool.h>

struct bypass_stream;
struct way;

/*
 * Of one that is CARRYING, or DIRECT and not to an outlet. Whether nothing will go the way directly
 * any more, though the program has not left it: it was asked to before, and sees that with whatever
 * is sent from now on. What is in the target's queue when it is looked at afterwards is all, and
 * what the source's TCP has that was not read is data.
 */
bool bypass_is_given_up(const struct bypass_stream *b);
/* The same, when the source was looked at since that was asked: `back`, whose target it is. */
bool bypass_rests(const struct bypass_stream *b, const struct way *back);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moving a body from one side to the other: by hand, or by the kernel where it is worth it. */
#pragma once

#include "exchange.h"

enum move_result {
	MOVE_WAIT,   /* for either side, for the kernel, or for the next turn */
	MOVE_DONE,   /* the body is complete, and written but for what is kept */
	MOVE_END,    /* the source has ended before the body was complete, or is how it ends */
	MOVE_BAD,    /* it is no valid body */
	MOVE_FAILED, /* the target has failed; dealt with */
};

/*
 * Moves what can be moved now. The stream's target can be written to (see http_flush()). A budget
 * that the kernel had is settled first.
 */
enum move_result move_body(struct session *s, struct stream *st, struct http_body *b);

// SPDX-License-Identifier: GPL-2.0-or-later
#include "ending.h"

#include <assert.h>
#include <errno.h>

#include "drain.h"
#include "maps.h"
#include "release.h"
#include "wait.h"

void stream_finish(struct stream *s)
{
	struct stream *other = stream_opposite(s);
	int err;

	/* Only HTTP is without a server at times, and it has no ENDING. */
	assert(s->target);
	if (!(s->splice->by->maps && s->splice->by->maps->debug & SPLICE_DEBUG_NO_PROOF) &&
	    !stream_target_drained(s))
		return;
	if (s->source->failed) {
		/* It ended its stream properly before it failed. Where that cannot be told, the
		 * target is no better. */
		err = conn_end_output(s->target);
		stream_enter(s, STREAM_DONE);
		if (err)
			s->splice->owner->delivered(s->splice);
		else
			stream_farewell(s);
		return;
	}
	if (other->state != STREAM_DONE) {
		err = kernel_release(other);
		if (err == -EAGAIN)
			stream_wait(s, false);
		if (err)
			return;
		err = conn_end_output(s->target);
		if (err) {
			stream_failed(s, s->target, -err);
			return;
		}
	}
	stream_unwait(s);
	stream_enter(s, STREAM_DONE);
	s->splice->owner->done(s->splice);
}

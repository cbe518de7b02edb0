// SPDX-License-Identifier: GPL-2.0-or-later
#include "drain.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "../util.h"
#include "lane.h"
#include "wait.h"

bool stream_target_drained(struct stream *s)
{
	uint64_t backlog = 0, unsent = 0;
	int err;

	if (s->drained)
		return true;
	err = kernel_backlog(s, stream_redirected(s), &backlog, &unsent);
	if (err) {
		stream_failed(s, s->target, -err);
		return false;
	}
	if (backlog) {
		stream_wait_drain(s, backlog, 0);
		return false;
	}
	s->drained = true;
	stream_unwait(s);
	return true;
}

bool stream_is_drained(struct stream *s)
{
	uint64_t backlog = 0, unsent = 0;

	if (!s->drained && s->target && s->target->fd >= 0 &&
	    kernel_backlog(s, stream_redirected(s), &backlog, &unsent) == 0)
		s->drained = !backlog;
	return s->drained;
}

void stream_farewell(struct stream *s)
{
	int queued = 0;

	if (!stream_target_drained(s))
		return;
	/* For a unix socket this is what its peer has not read yet. */
	if (ioctl(s->target->fd, SIOCOUTQ, &queued) < 0)
		queued = 0;
	if (queued)
		stream_wait(s, false);
	else
		s->splice->owner->delivered(s->splice);
}

uint64_t stream_undelivered(const struct stream *s, uint64_t redirected)
{
	uint64_t backlog = 0, unsent;

	if (s->drained || !s->target || s->target->fd < 0)
		return 0;
	/* Where the socket does not say, none of the present budget is counted. */
	if (kernel_backlog(s, redirected, &backlog, &unsent) < 0)
		return redirected;
	return backlog;
}

void stream_forsake(struct stream *s)
{
	s->lost += stream_undelivered(s, stream_redirected(s));
	s->drained = true;
}

/* The program counts a message before an outlet's TCP has it: one that was refused there, or taken
 * in part, its sender was told of. */
static uint64_t taken_directly(const struct stream *s)
{
	uint64_t counted = stream_moved_directly(s), taken;

	if (!s->way || !s->way->outlet || !s->target || s->target->fd < 0 ||
	    !conn_taken(s->target, &taken))
		return counted;
	return MIN(counted, taken - MIN(taken, s->target->sent));
}

void stream_close(struct stream *s)
{
	/* The kernel may go on until the sockets are closed. */
	uint64_t redirected = stream_redirected(s), raw = s->redirected_before + redirected;

	s->redirected_end = raw - MIN(raw, s->lost + stream_undelivered(s, redirected));
	s->direct_end = taken_directly(s);
	s->closed = true;
	if (s->target)
		conn_claim(s->target,
			   s->target->sent + redirected - (raw - s->lost - s->redirected_end));
}

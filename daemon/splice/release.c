// SPDX-License-Identifier: GPL-2.0-or-later
#include "release.h"

#include <errno.h>

#include "byhand.h"
#include "lane.h"
#include "serve.h"
#include "take-back.h"

int kernel_release(struct stream *s)
{
	int err;

	switch (s->state) {
	case STREAM_COPY:
		/* Not to be engaged later either. */
		if (s->why_copy == COPY_NONE && s->lane)
			kernel_give_up(s, COPY_HALF_CLOSED);
		return 0;
	case STREAM_PAUSED:
		break;
	case STREAM_SERVING:
		return -EAGAIN;
	case STREAM_ENGAGED:
		err = kernel_passed(s) != s->taken ? -EAGAIN : kernel_take_back(s);
		if (err == -EBUSY) {
			kernel_kick(s);
			return -EAGAIN;
		}
		if (err == -EAGAIN)
			kernel_start_serving(s);
		else if (err)
			kernel_taken_badly(s, err);
		if (err)
			return err;
		break;
	default:
		return 0;
	}
	kernel_give_up(s, COPY_HALF_CLOSED);
	kernel_to_copy(s);
	return 0;
}

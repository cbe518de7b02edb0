// SPDX-License-Identifier: GPL-2.0-or-later
#include "budget.h"

#include <errno.h>

#include "byhand.h"
#include "drain.h"
#include "engage.h"
#include "lane.h"
#include "maps.h"
#include "serve.h"
#include "take-back.h"
#include "wait.h"

/*
 * A sender that fills its window as soon as that is opened is read by hand while the window is a
 * small one: in the kernel engine it would be handed up again at the end of each budget, and wait
 * for a timer each time that what it may send is less than a segment of its.
 */
static bool is_too_fast(const struct conn *source)
{
	return source->share && source->filled;
}

/* Whether nothing is handed up behind what waits for its own socket, in either direction. */
static bool is_apart(const struct stream *st, uint64_t bytes)
{
	struct stream *other = stream_opposite(st);

	if (stream_in_kernel(other))
		return bytes == UINT64_MAX && other->lane->limit == UINT64_MAX;
	return bytes == UINT64_MAX || stream_is_drained(other);
}

bool budget_possible(struct stream *st, uint64_t bytes)
{
	return st->splice->by->maps && !st->splice->settings->copy_only &&
	       splicer_refuses(st->splice->by) == COPY_NONE && st->source->tcp && st->target->tcp &&
	       !st->source->foreign && !st->target->foreign && !st->source->fin_seen &&
	       !st->source->failed && st->why_copy == COPY_NONE && !is_too_fast(st->source) &&
	       is_apart(st, bytes);
}

int budget_engage(struct stream *st, uint64_t bytes)
{
	int err = kernel_share(st, bytes);

	if (err)
		kernel_give_up(st, kernel_reason(err));
	else
		err = kernel_engage(st);
	if (err) {
		if (st->lane)
			(void)budget_settle(st);
		return err;
	}
	kernel_adopted(st->splice);
	return 0;
}

uint64_t budget_settle(struct stream *st)
{
	uint64_t moved = stream_redirected(st);

	st->redirected_before += moved;
	st->trimmed_before += st->lane->trimmed;
	st->source->received += moved;
	st->target->sent += moved;
	kernel_unshare(st);
	return moved;
}

bool budget_spent(const struct stream *st)
{
	const struct lane *lane = st->lane;

	return lane->limit != UINT64_MAX &&
	       __atomic_load_n(&lane->redirected, __ATOMIC_ACQUIRE) +
		       __atomic_load_n(&lane->passed, __ATOMIC_ACQUIRE) >=
		   lane->limit;
}

void budget_revoke(struct stream *st)
{
	int err;

	if (st->state == STREAM_PAUSED) {
		kernel_to_copy(st);
		return;
	}
	if (st->state != STREAM_ENGAGED)
		return; /* SERVING: it is on its way */
	err = kernel_passed(st) != st->taken ? -EAGAIN : kernel_take_back(st);
	if (err == -EAGAIN) {
		kernel_start_serving(st);
	} else if (err == -EBUSY) {
		/* Its FIN has come, which epoll will tell. */
		kernel_kick(st);
		stream_wait(st, false);
	} else if (err) {
		kernel_taken_badly(st, err);
	} else {
		kernel_to_copy(st);
	}
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "giveup.h"

#include "../splice/stream.h"
#include "maps.h"
#include "side.h"

/*
 * Whether a call sends by the source's socket, or may. The program does its part in the midst of
 * it, and what it has redirected comes to the target's queue after that, when the kernel has let go
 * of the source's lock: neither `inside` nor the queue tells. But the call holds the psock from its
 * beginning to its end, as a read does.
 */
static bool is_at_work(const struct bypass_stream *b, const struct way *back)
{
	return !back->there || back->target != b->way->source || back->users != 1;
}

/* Whether all tokens that were ever put into the source's TCP have been read. */
static bool has_no_tokens(const struct bypass_stream *b)
{
	return b->dropped == __atomic_load_n(&b->way->held, __ATOMIC_ACQUIRE) * BYPASS_TOKEN;
}

bool bypass_rests(const struct bypass_stream *b, const struct way *back)
{
	enum way_phase phase;

	/* Whoever comes in from now on sees what was asked. */
	if (__atomic_load_n(&b->way->inside, __ATOMIC_SEQ_CST))
		return false;
	phase = (enum way_phase)__atomic_load_n(&b->way->phase, __ATOMIC_ACQUIRE);
	/* Of one that carries data nothing was ever redirected. */
	if (b->state == BYPASS_CARRYING)
		return phase == WAY_CARRIES;
	return phase == WAY_DIRECT && !is_at_work(b, back) && has_no_tokens(b);
}

bool bypass_is_given_up(const struct bypass_stream *b)
{
	const struct splicer *by = b->stream->splice->by;
	uint32_t back = b->index ^ 1;

	if (b->state == BYPASS_DIRECT && bypass_peek(by->bypass, by->index, &back, 1) < 0)
		return false;
	return bypass_rests(b, &by->bypass->ways[back]);
}

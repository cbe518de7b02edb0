// SPDX-License-Identifier: GPL-2.0-or-later
#include "side.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "../log.h"
#include "../splice/stream.h"

const char *const bypass_state_str[_BYPASS_STATE_MAX] = {
    [BYPASS_MEETING] = "meeting", [BYPASS_CARRYING] = "carrying",
    [BYPASS_DIRECT] = "direct",   [BYPASS_HELD] = "held",
    [BYPASS_LEAVING] = "leaving", [BYPASS_DELIVERING] = "delivering",
    [BYPASS_OVER] = "over",
};

const char *const way_why_str[_WAY_WHY_MAX] = {
    [WAY_NOT_LEFT] = "none",       [WAY_TARGET_GONE] = "target_gone",
    [WAY_OWN_LOWAT] = "own_lowat", [WAY_TLS] = "ktls",
    [WAY_ZEROCOPY] = "zerocopy",   [WAY_REFUSED] = "refused",
    [WAY_NOT_LOCAL] = "not_local", [WAY_BLOCKING] = "blocking",
    [WAY_BUSY] = "busy",           [WAY_HALF_CLOSED] = "half_closed",
    [WAY_MEMORY] = "memory",       [WAY_YOUNG] = "young",
    [WAY_SEGMENTS] = "segments",   [WAY_BUFFER] = "buffer",
    [WAY_CORRUPT] = "corrupt",     [WAY_FULL] = "full",
    [WAY_SMALL] = "small",
};

#define TO(state) (1u << BYPASS_##state)
static const uint8_t next_states[_BYPASS_STATE_MAX] = {
    [BYPASS_MEETING] = TO(CARRYING) | TO(OVER),
    [BYPASS_CARRYING] = TO(DIRECT) | TO(LEAVING) | TO(DELIVERING),
    [BYPASS_DIRECT] = TO(HELD) | TO(LEAVING) | TO(DELIVERING),
    [BYPASS_HELD] = TO(DIRECT) | TO(LEAVING) | TO(DELIVERING),
    [BYPASS_LEAVING] = TO(OVER),
    [BYPASS_DELIVERING] = TO(OVER),
    [BYPASS_OVER] = 0,
};
#undef TO

void bypass_way_set(struct way *way, const struct way *to)
{
	const size_t daemon = offsetof(struct way, source);

	memcpy(way, to, offsetof(struct way, inside));
	memcpy((char *)way + daemon, (const char *)to + daemon, sizeof(*way) - daemon);
}

void bypass_ask_to_leave(const struct bypass_stream *b, enum way_why why)
{
	if (!b->way->leave)
		__atomic_store_n(&b->way->leave, (uint32_t)why, __ATOMIC_SEQ_CST);
}

bool bypass_may_enter(enum bypass_state from, enum bypass_state next)
{
	return next_states[from] >> next & 1;
}

void bypass_enter(struct bypass_stream *b, enum bypass_state next)
{
	assert(bypass_may_enter(b->state, next));
	log_session(LOG_LVL_DEBUG, b->stream->splice->id, " %s: bypass: %s -> %s",
		    stream_direction(b->stream) == UP ? "up" : "down", bypass_state_str[b->state],
		    bypass_state_str[next]);
	b->state = next;
}

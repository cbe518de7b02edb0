// SPDX-License-Identifier: GPL-2.0-or-later
#include "target.h"

#include <stddef.h>

/* What one that is back begins with. */
#define LEAST (TARGET_WHOLE / 10)

bool target_is_new(uint64_t back_ns, uint64_t span, uint64_t now)
{
	return back_ns && span && (now <= back_ns || now - back_ns < span);
}

unsigned int target_share(const struct target *t, uint64_t span, uint64_t now)
{
	uint64_t age = now > t->back_ns ? now - t->back_ns : 0;

	if (!target_is_new(t->back_ns, span, now))
		return TARGET_WHOLE;
	return (unsigned int)(LEAST + (TARGET_WHOLE - LEAST) * age / span);
}

/* Smooth weighted round robin, as for the servers of a pool. */
unsigned int targets_next(struct target *all, uint64_t candidates, uint64_t span, uint64_t now)
{
	unsigned int best = (unsigned int)__builtin_ctzll(candidates);
	long total = 0;

	for (uint64_t rest = candidates; rest; rest &= rest - 1) {
		unsigned int slot = (unsigned int)__builtin_ctzll(rest);
		long share = target_share(&all[slot], span, now);

		all[slot].turn += share;
		total += share;
		if (all[slot].turn > all[best].turn)
			best = slot;
	}
	all[best].turn -= total;
	return best;
}

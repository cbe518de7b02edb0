// SPDX-License-Identifier: GPL-2.0-or-later
#include "hist.h"

void hist_merge(struct hist *into, const struct hist *from)
{
	for (unsigned i = 0; i < HIST_SLOTS; i++)
		into->slots[i] += from->slots[i];
	into->count += from->count;
	into->sum += from->sum;
	if (from->max > into->max)
		into->max = from->max;
}

static uint64_t slot_middle(unsigned slot)
{
	if (slot < HIST_STEPS)
		return slot;
	unsigned power = slot / HIST_STEPS + 5;
	uint64_t step = UINT64_C(1) << (power - 6);
	return (HIST_STEPS + slot % HIST_STEPS) * step + step / 2;
}

uint64_t hist_quantile(const struct hist *hist, double share)
{
	uint64_t rank = (uint64_t)(share * (double)hist->count);
	uint64_t seen = 0;

	for (unsigned i = 0; i < HIST_SLOTS; i++) {
		seen += hist->slots[i];
		if (seen > rank)
			return slot_middle(i) < hist->max ? slot_middle(i) : hist->max;
	}
	return hist->max;
}

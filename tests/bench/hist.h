/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A logarithmic histogram: 64 steps per power of two (1.6 % resolution), any 64-bit value,
 * constant time, no allocation.
 */
#ifndef SPLICED_BENCH_HIST_H
#define SPLICED_BENCH_HIST_H

#include <stdint.h>

#define HIST_STEPS 64
#define HIST_SLOTS (59 * HIST_STEPS)

struct hist {
	uint64_t slots[HIST_SLOTS];
	uint64_t count;
	uint64_t sum;
	uint64_t max;
};

static inline unsigned hist_slot(uint64_t value)
{
	if (value < HIST_STEPS)
		return (unsigned)value;
	unsigned power = 63 - (unsigned)__builtin_clzll(value);
	return (power - 5) * HIST_STEPS + (unsigned)(value >> (power - 6)) - HIST_STEPS;
}

static inline void hist_add(struct hist *hist, uint64_t value)
{
	hist->slots[hist_slot(value)]++;
	hist->count++;
	hist->sum += value;
	if (value > hist->max)
		hist->max = value;
}

void hist_merge(struct hist *into, const struct hist *from);

/* The middle of the slot that holds the given share (0 to 1) of all values. */
uint64_t hist_quantile(const struct hist *hist, double share);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The arithmetic of a lane in the verdict program: no map, no helper, no skb, so that a unit test
 * can run it in user space. Everything that counts bytes of a TCP stream is modulo 2^32.
 */
#ifndef LANE_MATH_H
#define LANE_MATH_H

#include "splice-api.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#endif

/*
 * How many bytes to cut off the front of a segment of `len` bytes at `seq`: those before
 * `next_seq`. All of them: the segment was seen before. -1: it begins behind `next_seq`, so bytes
 * are missing.
 */
static __always_inline __s64 lane_cut(__u32 next_seq, __u32 seq, __u32 len)
{
	__s32 seen = (__s32)(next_seq - seq);

	if (seen < 0)
		return -1;
	return (__u32)seen < len ? (__u32)seen : len;
}

/* Whether `len` more bytes would go beyond the budget. */
static __always_inline int lane_over_limit(const struct lane *lane, __u32 len)
{
	return len > lane->limit || lane->passed + lane->redirected > lane->limit - len;
}

/* Everything the target was ever given, by the kernel or by the daemon. */
static __always_inline __u32 lane_queued(const struct lane *lane)
{
	return (__u32)(lane->redirected + lane->forwarded + lane->copied);
}

/* What the target still has to take, from its own write_seq. The first call finds the base. */
static __always_inline __u32 lane_backlog(struct lane *lane, __u32 queued, __u32 write_seq)
{
	if (!lane->based) {
		lane->base = write_seq - queued;
		lane->mem_mark = queued;
		lane->based = 1;
	}
	return queued - (write_seq - lane->base);
}

/* What the target still has to send for the first time: the backlog and its write queue's tail. */
static __always_inline __u32 lane_unsent(const struct lane *lane, __u32 queued, __u32 snd_nxt)
{
	return queued - (snd_nxt - lane->base);
}

/*
 * Bounds the memory of a backlog whose skbs may be far bigger than their payload. Two generations:
 * once the target has taken everything up to the mark, the older one is gone, the newer becomes the
 * older and a new one begins. The sum never understates what is queued.
 */
static __always_inline __u32 lane_memory(struct lane *lane, __u32 queued, __u32 backlog)
{
	__u32 taken = queued - backlog;

	if ((__s32)(taken - lane->mem_mark) >= 0) {
		lane->mem_old = backlog ? lane->mem_new : 0;
		lane->mem_new = 0;
		lane->mem_mark = queued;
	}
	return lane->mem_old + lane->mem_new;
}

/* The marks: whether to ask for a pause, and whether to hand up. */
static __always_inline int lane_above_high(const struct lane *lane, __u32 unsent, __u32 memory)
{
	return unsent > lane->high || memory > lane->mem_high;
}

static __always_inline int lane_above_hard(const struct lane *lane, __u32 backlog, __u32 memory)
{
	return backlog > lane->hard || memory > lane->mem_hard;
}

/* What one call may redirect beyond it: a whole receive queue, which may have grown to the maximum
 * of tcp_rmem while the stream was copied, and a window more. */
#define LANE_AT_ONCE (32U << 20)

/* So far beyond it that what should have stopped the source has not. */
static __always_inline int lane_is_runaway(const struct lane *lane, __u32 backlog, __u32 memory)
{
	return backlog > (__u64)lane->hard + LANE_AT_ONCE ||
	       memory > (__u64)lane->mem_hard + 2ULL * LANE_AT_ONCE;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* A way as the programs find it: by its source, and where its target is. */
#ifndef BYPASS_WAY_H
#define BYPASS_WAY_H

#include "bypass-maps.h"

/*
 * Between these two the way is what it is: the daemon, which turns it off first, then waits until
 * `inside` is 0 before another session gets it. Additions whose result is used are full barriers,
 * as is the daemon's store: either it sees the program, or the program that the way is off.
 */
static __always_inline int come_in(struct way *way, __u64 cookie)
{
	__u32 others = __sync_fetch_and_add(&way->inside, 1);

	asm volatile("" ::"r"(others));
	return way->on && way->source == cookie;
}

static __always_inline void go_out(struct way *way)
{
	__u32 others = __sync_fetch_and_add(&way->inside, -1);

	asm volatile("" ::"r"(others));
}

static __always_inline struct way *way_from(__u64 cookie)
{
	struct bypass_ref *ref = bpf_map_lookup_elem(&bypass_of, &cookie);
	__u32 index;

	if (!ref || ref->role != BYPASS_ROLE_SOURCE)
		return 0;
	index = ref->way;
	return bpf_map_lookup_elem(&ways, &index);
}

/* Of a socket: 0: it has no file, 1: it has, and blocks, 2: O_NONBLOCK. */
static __always_inline __u32 file_of(__u64 target)
{
	__u64 socket = 0, file = 0;
	unsigned int flags = 0;

	(void)READ(socket, target, struct sock, sk_socket);
	if (!socket)
		return 0;
	(void)READ(file, socket, struct socket, file);
	if (!file)
		return 0;
	(void)READ(flags, file, struct file, f_flags);
	return flags & O_NONBLOCK ? 2 : 1;
}

/*
 * What an outlet's write queue may take of its `sndbuf`. Where memory is scarce the daemon leaves
 * that as it is: a message that was on its way there would be refused.
 */
static __always_inline __s32 outlet_whole(const struct way *way, __s32 sndbuf)
{
	__u32 most = way->memory;

	return most && (__s32)most < sndbuf ? (__s32)most : sndbuf;
}

/* The address of the way's target; 0: there is none. */
static __always_inline __u64 aim_at(const struct way *way, __u32 index)
{
	struct place *aim = bpf_map_lookup_elem(&aims, &index);

	return aim && aim->cookie == way->target ? aim->addr : 0;
}

#endif

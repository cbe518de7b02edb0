/* SPDX-License-Identifier: GPL-2.0-only */
/* `peek`, which the daemon runs: what it cannot see of the applications' sockets. */
#ifndef BYPASS_LOOK_H
#define BYPASS_LOOK_H

#include "bypass-way.h"

/* Of a socket of the daemon's. There is no more room to be had than when most of its queue is free.
 */
static __always_inline void look_at_outlet(struct way *way, __u64 target)
{
	int wmem = 0, sndbuf = 0, whole;
	unsigned char state = 0;
	__u64 cookie = 0;
	__u32 next = 0;

	(void)READ(state, target, struct sock, __sk_common.skc_state);
	(void)READ(wmem, target, struct sock, sk_wmem_queued);
	(void)READ(sndbuf, target, struct sock, sk_sndbuf);
	(void)READ(next, target, struct tcp_sock, snd_nxt);
	(void)READ(way->written, target, struct tcp_sock, write_seq);
	way->queued = (__s32)(way->written - next);
	whole = outlet_whole(way, sndbuf);
	way->unread = whole - wmem < (__s32)way->need && wmem > whole >> 2;
	way->state = state;
	way->deaf = 0;
	(void)READ(cookie, target, struct sock, __sk_common.skc_cookie);
	way->there = cookie == way->target;
}

/* What its psock is counted by; 0: it has none. */
static __always_inline __u32 users_of(__u64 target)
{
	__u64 psock = 0;
	int users = 0;

	(void)READ(psock, target, struct sock, sk_user_data);
	psock &= ~PSOCK_FLAGS;
	if (psock)
		(void)READ(users, psock, struct sk_psock, refcnt.refs.counter);
	return (__u32)users;
}

static __always_inline void look(struct way *way, __u64 target)
{
	__u64 cookie = 0, ulp = 0;
	unsigned char state = 0, shut = 0;
	__u32 copied = 0;
	unsigned long flags = 0;
	__u32 priority = 0;

	(void)READ(way->queued, target, struct sock, sk_backlog.rmem_alloc);
	(void)READ(state, target, struct sock, __sk_common.skc_state);
	(void)READ(shut, target, struct sock, sk_shutdown);
	(void)READ(copied, target, struct tcp_sock, copied_seq);
	(void)READ(way->received, target, struct tcp_sock, rcv_nxt);
	(void)READ(way->written, target, struct tcp_sock, write_seq);
	(void)READ(ulp, target, struct inet_connection_sock, icsk_ulp_ops);
	(void)READ(flags, target, struct sock, __sk_common.skc_flags);
	way->unread = way->received - copied;
	way->state = state;
	way->deaf = shut & RCV_SHUTDOWN;
	way->file = file_of(target);
	way->users = users_of(target);
	way->unfit = ulp ? WAY_TLS : WAY_NOT_LEFT;
	if (flags >> bpf_core_enum_value(enum sock_flags, SOCK_ZEROCOPY) & 1)
		way->unfit = WAY_ZEROCOPY;
	/* Another daemon's, marked after it was enrolled: see is_a_proxys(). */
	(void)READ(priority, target, struct sock, sk_priority);
	if (priority == INTERCEPT_MARK && !proving)
		way->unfit = WAY_NOT_LOCAL;
	/* Last: it may be freed, and be another one's, at any moment before. */
	(void)READ(cookie, target, struct sock, __sk_common.skc_cookie);
	way->there = cookie == way->target;
}

static long peek_step(__u32 i, __u32 *first)
{
	__u32 at = *first + i, n;
	struct way *way;
	__u64 target, *index;

	index = bpf_map_lookup_elem(&looks, &at);
	if (!index)
		return 1;
	n = *index;
	way = bpf_map_lookup_elem(&ways, &n);
	if (!way)
		return 0;
	target = aim_at(way, n);
	if (!target)
		way->there = 0;
	else if (way->outlet)
		look_at_outlet(way, target);
	else
		look(way, target);
	return 0;
}

/* Run by the daemon: looks at the targets of args->n ways. */
SEC("syscall")
int peek(struct peek_args *args)
{
	__u32 first = args->first;

	bpf_loop(args->n, peek_step, &first, 0);
	return 0;
}

#endif

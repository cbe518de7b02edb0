/* SPDX-License-Identifier: GPL-2.0-only */
/* How applications' sockets come into `joined`: two programs that the daemon runs. */
#ifndef BYPASS_JOIN_H
#define BYPASS_JOIN_H

#include "bypass-way.h"

/* Run by the daemon: an application's socket is to be the target of a way. */
SEC("syscall")
int find(struct find_args *args)
{
	struct handshake theirs = args->theirs;
	struct place *place, *aim;
	__u32 index = args->way;

	args->cookie = 0;
	place = bpf_map_lookup_elem(&expected, &theirs);
	aim = bpf_map_lookup_elem(&aims, &index);
	if (!place || !aim || !place->cookie)
		return 0;
	*aim = *place;
	args->cookie = aim->cookie;
	return 0;
}

/* Whether the target of the way is in `joined` now. */
static __always_inline int admit_target(struct __sk_buff *skb, __u32 index)
{
	struct place *aim = bpf_map_lookup_elem(&aims, &index);
	struct bpf_sock_tuple tuple;
	struct tcp_sock *tp;
	struct bpf_sock *sk;
	__u64 cookie;
	long err = -1;

	if (!aim || !aim->cookie)
		return 0;
	if (!aim->size)
		return 1;
	tuple = aim->tuple;
	cookie = aim->cookie;
	if (aim->size == sizeof(tuple.ipv6))
		sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp && (__u64)((struct sock *)tp)->__sk_common.skc_cookie.counter == cookie)
		err = bpf_map_update_elem(&joined, &cookie, sk, BPF_ANY);
	bpf_sk_release(sk);
	return !err;
}

/* A socket of the daemon's, in `outlet`, becomes the target of the way. */
static __always_inline int aim_at_outlet(__u32 index, __u64 cookie)
{
	struct place *aim = bpf_map_lookup_elem(&aims, &index);
	struct tcp_sock *tp;
	struct bpf_sock *sk;
	int found = 0;

	if (!aim)
		return 0;
	sk = bpf_map_lookup_elem(&outlet, &cookie);
	if (!sk)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp) {
		aim->addr = (__u64)tp;
		aim->size = 0;
		aim->cookie = cookie;
		found = 1;
	}
	bpf_sk_release(sk);
	return found;
}

/* Run by the daemon, with a struct admit_packet. */
SEC("tc")
int admit(struct __sk_buff *skb)
{
	struct admit_args args;

	if (bpf_skb_load_bytes(skb, __builtin_offsetof(struct admit_packet, args), &args,
			       sizeof(args)))
		return 0;
	if (!admit_target(skb, args.ways[0]))
		return 0;
	return 1 + (args.outlet ? aim_at_outlet(args.ways[1], args.outlet)
				: admit_target(skb, args.ways[1]));
}

#endif

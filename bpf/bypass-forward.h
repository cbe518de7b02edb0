/* SPDX-License-Identifier: GPL-2.0-only */
/* The sk_msg program, which every send of a socket in `joined` comes to. */
#ifndef BYPASS_FORWARD_H
#define BYPASS_FORWARD_H

#include "bypass-outlet.h"
#include "bypass-send.h"

SEC("sk_msg")
int forward(struct sk_msg_md *msg)
{
	struct bypass_ref *ref;
	struct bpf_sock *sk;
	struct tcp_sock *tp;
	struct way *way;
	__u64 cookie, key;
	__u32 size, index;
	int verdict = SK_PASS;

	/* Read once, in a form that the verifier takes: clang would merge this load with others. */
	size = msg->size;
	asm volatile("" : "+r"(size));
	sk = msg->sk;
	tp = sk ? bpf_skc_to_tcp_sock(sk) : 0;
	if (!tp)
		return SK_PASS;
	/* apply_bytes sticks to the rest of a message: it counts anew each time. */
	bpf_msg_apply_bytes(msg, 0);
	cookie = (__u64)((struct sock *)tp)->__sk_common.skc_cookie.counter;
	ref = bpf_map_lookup_elem(&bypass_of, &cookie);
	if (!ref || ref->role == BYPASS_ROLE_NONE)
		return SK_PASS;
	if (ref->role == BYPASS_ROLE_INJECT) {
		key = ref->target;
		/* An entry that was deleted meanwhile may be another session's by now; this socket
		 * is no longer found by its cookie then. */
		if (bpf_map_lookup_elem(&bypass_of, &cookie) != ref)
			return SK_PASS;
		return bpf_msg_redirect_hash(msg, &joined, &key, BPF_F_INGRESS);
	}
	index = ref->way;
	way = bpf_map_lookup_elem(&ways, &index);
	if (!way)
		return SK_PASS;
	if (come_in(way, cookie) && way->phase != WAY_LEFT)
		verdict = way->outlet ? go_outside(msg, way, index, size)
				      : go_direct(msg, way, index, size);
	go_out(way);
	return verdict;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The few kernel types the programs look into, kept by hand. Offsets are CO-RE relocations against
 * the running kernel's BTF, so only the names and types below matter, never the layout. A dump of
 * one kernel's BTF (vmlinux.h) would be 3 MB that changes with the build host and needs a host with
 * BTF to build on; this builds anywhere and shows at a glance what the programs depend on.
 */
#ifndef SPLICE_KERNEL_TYPES_H
#define SPLICE_KERNEL_TYPES_H

#include <linux/bpf.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct tcp_sock {
	__u32 copied_seq;           /* next byte user space will read */
	__u32 write_seq;            /* next byte the write queue will take */
	__u32 snd_nxt;              /* next byte to be sent */
	__u8 bpf_sock_ops_cb_flags; /* what sockops is called for */
} __attribute__((preserve_access_index));

struct sock {               /* every tcp_sock begins with one */
	void *sk_user_data; /* of a socket in a map: its sk_psock, and flags in the lowest bits */
} __attribute__((preserve_access_index));

struct sk_buff_head {
	__u32 qlen;
} __attribute__((preserve_access_index));

struct sk_psock {
	struct sk_buff_head
	    ingress_skb; /* what was redirected to the socket, or passed behind that */
} __attribute__((preserve_access_index));

struct sk_buff {
	char cb[48]; /* TCP_SKB_CB(skb): its first field is the __u32 seq */
	unsigned int truesize;
} __attribute__((preserve_access_index));

struct task_struct {
	int tgid; /* of the process, in the initial namespace */
} __attribute__((preserve_access_index));

#pragma clang attribute pop

#endif

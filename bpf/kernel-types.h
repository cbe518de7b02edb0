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
	__u32 copied_seq; /* next byte user space will read */
	__u32 write_seq;  /* next byte the write queue will take */
	__u32 snd_nxt;    /* next byte to be sent */
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

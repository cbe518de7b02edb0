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

struct file {
	unsigned int f_flags; /* O_NONBLOCK */
} __attribute__((preserve_access_index));

struct socket {
	struct file *file; /* NULL: not accepted yet, say */
} __attribute__((preserve_access_index));

struct in6_addr {
	union {
		__u32 u6_addr32[4];
	} in6_u;
} __attribute__((preserve_access_index));

/* What sockets of a kind have in common. */
struct proto {
	unsigned long *memory_pressure; /* not 0: all of them together have too much */
} __attribute__((preserve_access_index));

struct page_counter { /* pages of a cgroup, and of those below it */
	struct {
		__s64 counter;
	} usage;
	unsigned long max;
	struct page_counter *parent;
} __attribute__((preserve_access_index));

struct cgroup_subsys_state {
	struct cgroup_subsys_state *parent;
} __attribute__((preserve_access_index));

struct mem_cgroup {
	struct cgroup_subsys_state css; /* the first field: its address is the cgroup's */
	struct page_counter memory;     /* version 2: all of it, with what sockets hold */
	struct page_counter tcpmem;     /* version 1: of TCP, if that has a limit */
	_Bool tcpmem_active;            /* ... or had */
	__u64 socket_pressure;          /* version 2: memory is short until then, in jiffies */
} __attribute__((preserve_access_index));

struct sock_common {
	struct {
		__s64 counter;
	} skc_cookie;
	volatile unsigned char skc_state;
	unsigned short skc_family;
	__u32 skc_daddr, skc_rcv_saddr;                 /* IPv4: the peer's address, and its own */
	__u16 skc_dport;                                /* the peer's port, big-endian */
	__u16 skc_num;                                  /* its own */
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr; /* IPv6 */
	unsigned long skc_flags;                        /* bits: enum sock_flags */
	struct proto *skc_prot;
	struct sock *skc_listener; /* of a request: the socket that listens */
} __attribute__((preserve_access_index));

struct sock { /* every tcp_sock begins with one */
	struct sock_common __sk_common;
	/* Of a socket in a map: its sk_psock, and flags in the lowest bits; else 0. */
	void *sk_user_data;
	unsigned char sk_shutdown; /* RCV_SHUTDOWN 1, SEND_SHUTDOWN 2 */
	__u32 sk_priority;         /* SO_PRIORITY */
	struct {
		struct {
			int counter;
		} rmem_alloc;
	} sk_backlog;       /* memory of what waits to be read */
	int sk_wmem_queued; /* memory of its write queue, and the most of it */
	int sk_sndbuf;
	unsigned int sk_gso_max_size; /* of one segment that TCP gives to the device */
	__u16 sk_gso_max_segs;
	struct socket *sk_socket;
	struct mem_cgroup *sk_memcg; /* who is charged for its memory; NULL: nobody */
} __attribute__((preserve_access_index));

/* Only the name matters: its value is the running kernel's. */
enum sock_flags { SOCK_ZEROCOPY = 1 };

struct inet_connection_sock {
	const void *icsk_ulp_ops; /* not NULL: kTLS, for one */
} __attribute__((preserve_access_index));

struct tcp_sock {
	__u32 copied_seq;           /* next byte user space will read */
	__u32 rcv_nxt;              /* next byte to come */
	__u32 write_seq;            /* next byte the write queue will take */
	__u32 snd_una;              /* first byte that is not acknowledged */
	__u32 snd_nxt;              /* next byte to be sent */
	__u32 snd_wnd;              /* the window the peer has offered, from snd_una on */
	__u32 max_window;           /* the largest one it has offered */
	__u32 mss_cache;            /* bytes of a segment on the wire */
	__u32 notsent_lowat;        /* TCP_NOTSENT_LOWAT; 0: the system's */
	__u32 data_segs_in;         /* segments with data that have come */
	__u8 bpf_sock_ops_cb_flags; /* what sockops is called for */
	__u8 nonagle : 4;           /* TCP_NAGLE_CORK and others */
} __attribute__((preserve_access_index));

struct scatterlist {
	unsigned int length;
} __attribute__((preserve_access_index));

/* Of a ring of pieces; one of them is never used, and one is for kTLS. */
struct sk_msg_sg {
	__u32 start, end;
	struct scatterlist data[1];
} __attribute__((preserve_access_index));

/* What the context of an sk_msg program is at run time. */
struct sk_msg {
	struct sk_msg_sg sg;
} __attribute__((preserve_access_index));

struct sk_buff_head {
	__u32 qlen;
} __attribute__((preserve_access_index));

struct sk_psock {
	struct sk_buff_head
	    ingress_skb;     /* what was redirected to the socket, or passed behind that */
	unsigned long state; /* bits: enum sk_psock_state_bits */
	struct {
		__u32 len;
	} work_state;           /* bytes that are left of the segment that the worker is at */
	void *saved_data_ready; /* not 0: verdicts are run on what the socket receives */
	struct {
		struct {
			int counter;
		} refs;
	} refcnt; /* the maps it is in, and calls that send, or read */
} __attribute__((preserve_access_index));

/* Only the name matters: its value is the running kernel's. */
enum sk_psock_state_bits { SK_PSOCK_TX_ENABLED = 0 };

/* A connection that is being accepted. */
struct tcp_request_sock {
	__u32 rcv_isn;
	__u32 snt_isn;
} __attribute__((preserve_access_index));

struct bpf_sock_ops_kern {
	struct sock *sk;
} __attribute__((preserve_access_index));

struct sk_buff {
	char cb[48]; /* TCP_SKB_CB(skb): its first field is the __u32 seq */
	unsigned int truesize;
	__u8 ip_summed : 2; /* 0: CHECKSUM_NONE */
} __attribute__((preserve_access_index));

struct task_struct {
	int tgid; /* of the process, in the initial namespace */
} __attribute__((preserve_access_index));

#pragma clang attribute pop

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether memory is so scarce that the kernel may refuse a socket some. TCP always gets a little,
 * drops what it has none for, and sends that once more; what is sent directly would fail with
 * ENOMEM, and that is told to its application.
 */
#ifndef BYPASS_MEMORY_H
#define BYPASS_MEMORY_H

#include "bypass-maps.h"

#define PAGE 4096
/* What others of the cgroup may take meanwhile, in pages. */
#define CGROUP_MARGIN 64
/* How deep cgroups are looked at. */
#define CGROUP_DEPTH 8
/* Below this much unread data the pressure on a cgroup is not looked at: that takes its time. */
#define CGROUP_UNREAD 65536
/* So much has been charged already, or is next to nothing. */
#define CGROUP_LITTLE PAGE

/* All of TCP: __sk_mem_raise_allocated() sets this at the second of tcp_mem, and refuses at the
 * third. */
static __always_inline int is_tcp_short(const struct sock *sk)
{
	const struct proto *prot = sk->__sk_common.skc_prot;
	unsigned long pressure = 0;

	(void)bpf_probe_read_kernel(&pressure, sizeof(pressure), prot->memory_pressure);
	return pressure != 0;
}

/* memory.max, or memory.kmem.tcp.limit_in_bytes of version 1 of cgroups. */
static __always_inline int is_counter_full(__u64 counter, __u32 size)
{
	__s64 most = 0, usage = 0, want = size / PAGE + CGROUP_MARGIN;

	for (int i = 0; counter && i < CGROUP_DEPTH; i++) {
		(void)READ(most, counter, struct page_counter, max);
		(void)READ(usage, counter, struct page_counter, usage);
		if (usage + want > most)
			return 1;
		(void)READ(counter, counter, struct page_counter, parent);
	}
	return 0;
}

/* What the kernel itself goes by, for a second after memory was hard to reclaim:
 * mem_cgroup_under_socket_pressure(). */
static __always_inline int is_under_pressure(__u64 memcg)
{
	__u64 now = bpf_jiffies64(), until = 0;

	for (int i = 0; memcg && i < CGROUP_DEPTH; i++) {
		(void)READ(until, memcg, struct mem_cgroup, socket_pressure);
		if ((__s64)(now - until) < 0)
			return 1;
		(void)READ(memcg, memcg, struct mem_cgroup, css.parent);
	}
	return 0;
}

/*
 * Whether the socket's cgroup may refuse it `size` bytes more. Of version 2 what is at its limit
 * may well have something to give back (the cache of its files), and the charge succeed; what has
 * nothing is refused without a word of pressure, which only reclaiming brings about. The two look
 * the same here.
 */
static __always_inline int is_cgroup_short(__u64 sk, __u32 size, __u32 unread)
{
	__u64 memcg = 0;
	unsigned char v1 = 0;

	if (!bpf_core_field_exists(((struct sock *)0)->sk_memcg))
		return 0;
	(void)READ(memcg, sk, struct sock, sk_memcg);
	if (!memcg)
		return 0;
	if (bpf_core_field_exists(((struct mem_cgroup *)0)->tcpmem_active)) {
		(void)READ(v1, memcg, struct mem_cgroup, tcpmem_active);
		if (v1)
			return is_counter_full(
			    memcg + bpf_core_field_offset(struct mem_cgroup, tcpmem), size);
	}
	if (size + unread > CGROUP_LITTLE &&
	    is_counter_full(memcg + bpf_core_field_offset(struct mem_cgroup, memory), size))
		return 1;
	return unread > CGROUP_UNREAD && is_under_pressure(memcg);
}

#endif

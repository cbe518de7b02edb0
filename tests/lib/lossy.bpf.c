/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bad link, for kernels without netem: as a tc program on a device's ingress it loses 1 % of the
 * IP packets, delivers 1 % twice, and puts 20 % behind those that already wait.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define LOSE    10 /* of a thousand packets */
#define REPEAT  10
#define REORDER 200

SEC("tc")
int lossy(struct __sk_buff *skb)
{
	__u32 dice = bpf_get_prandom_u32() % 1000;

	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return TC_ACT_OK;
	if (dice < LOSE)
		return TC_ACT_SHOT;
	if (dice >= LOSE + REPEAT + REORDER)
		return TC_ACT_OK;
	/* The copy joins the end of this CPU's receive queue. */
	if (bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS) != 0)
		return TC_ACT_OK;
	return dice < LOSE + REPEAT ? TC_ACT_OK : TC_ACT_SHOT;
}

char _license[] SEC("license") = "GPL";

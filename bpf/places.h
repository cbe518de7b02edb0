/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses in programs, and rules about them: IPv4 is ::ffff:a.b.c.d, and ports are as in packets.
 */
#ifndef PLACES_H
#define PLACES_H

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "intercept-api.h"

#define AF_INET 2
#define MAPPED  bpf_htonl(0xffff)

static __always_inline int is_ipv4(const __u32 addr[4])
{
	return !addr[0] && !addr[1] && addr[2] == MAPPED;
}

static __always_inline void write_ipv4(__u32 to[4], __u32 addr)
{
	to[0] = to[1] = 0;
	to[2] = MAPPED;
	to[3] = addr;
}

/* Without a branch: the verifier would follow each of them, for each rule. */
static __always_inline int holds(const volatile struct intercept_rule *r,
				 const struct intercept_place *p)
{
	__s32 port = bpf_ntohs(p->port), first = r->first, last = r->last;
	__u32 other = ((__u32)(port - first) | (__u32)(last - port)) >> 31;

	for (int i = 0; i < 4; i++)
		other |= (p->addr[i] & r->mask[i]) ^ r->addr[i];
	return !other && !(r->ipv6 && is_ipv4(p->addr));
}

/* The compiler must not make one load of two fields of the context, at an address that it computes:
 * the verifier refuses that. */
#define FIELD(field) (*(volatile __u32 *)&(field))

static __always_inline void write_ends(struct bpf_sock_ops *ops, __u32 local[4], __u32 remote[4])
{
	if (ops->family == AF_INET) {
		write_ipv4(local, FIELD(ops->local_ip4));
		write_ipv4(remote, FIELD(ops->remote_ip4));
		barrier();
		return;
	}
	for (int i = 0; i < 4; i++) {
		local[i] = FIELD(ops->local_ip6[i]);
		remote[i] = FIELD(ops->remote_ip6[i]);
	}
}

static __always_inline void write_key(struct bpf_sock_ops *ops, struct intercept_key *key)
{
	write_ends(ops, key->source, key->target);
	key->source_port = bpf_htons(ops->local_port);
	key->target_port = bpf_htons(bpf_ntohl(ops->remote_port));
}

#endif

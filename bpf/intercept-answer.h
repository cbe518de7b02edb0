/* SPDX-License-Identifier: GPL-2.0-only */
/* What an application is told of a connection that was redirected: where it was to go. Part of
 * intercept.bpf.c, whose maps it reads. */
#pragma once

static __always_inline struct origin *origin_of(struct bpf_sock *sk)
{
	return sk ? bpf_sk_storage_get(&origins, sk, 0, 0) : 0;
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	struct origin *o = origin_of(ctx->sk);

	if (o) {
		ctx->user_ip4 = o->original.addr[3];
		ctx->user_port = o->original.port;
	}
	return 1;
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	struct origin *o = origin_of(ctx->sk);

	if (o) {
		ctx->user_ip6[0] = o->original.addr[0];
		ctx->user_ip6[1] = o->original.addr[1];
		ctx->user_ip6[2] = o->original.addr[2];
		ctx->user_ip6[3] = o->original.addr[3];
		ctx->user_port = o->original.port;
	}
	return 1;
}

struct sockaddr_ipv4 {
	__u16 family, port;
	__u32 addr;
	__u64 zero;
};

struct sockaddr_ipv6 {
	__u16 family, port;
	__u32 flow;
	__u32 addr[4];
	__u32 scope;
};

/* The compiler must not write two fields of the context at once: the verifier refuses that. */
static __always_inline void answered(struct bpf_sockopt *ctx, __s32 size)
{
	*(volatile __s32 *)&ctx->optlen = size;
	*(volatile __s32 *)&ctx->retval = 0;
}

static __always_inline int answer_ipv4(struct bpf_sockopt *ctx, const struct intercept_place *p)
{
	struct sockaddr_ipv4 *a = ctx->optval;

	if ((void *)(a + 1) > ctx->optval_end)
		return 0;
	a->family = AF_INET;
	a->port = p->port;
	a->addr = p->addr[3];
	a->zero = 0;
	answered(ctx, sizeof(*a));
	return 1;
}

static __always_inline int answer_ipv6(struct bpf_sockopt *ctx, const struct intercept_place *p)
{
	struct sockaddr_ipv6 *a = ctx->optval;

	if ((void *)(a + 1) > ctx->optval_end)
		return 0;
	a->family = AF_INET6;
	a->port = p->port;
	a->flow = 0;
	a->addr[0] = p->addr[0];
	a->addr[1] = p->addr[1];
	a->addr[2] = p->addr[2];
	a->addr[3] = p->addr[3];
	a->scope = 0;
	answered(ctx, sizeof(*a));
	return 1;
}

/* As netfilter answers it: each address by the level of its family. */
SEC("cgroup/getsockopt")
int getsockopt(struct bpf_sockopt *ctx)
{
	struct origin *o = 0;

	if (ctx->optname == SO_ORIGINAL_DST && (ctx->level == SOL_IP || ctx->level == SOL_IPV6))
		o = origin_of(ctx->sk);
	if (o && ctx->level == SOL_IP && is_ipv4(o->original.addr) &&
	    answer_ipv4(ctx, &o->original))
		return 1;
	if (o && ctx->level == SOL_IPV6 && !is_ipv4(o->original.addr) &&
	    answer_ipv6(ctx, &o->original))
		return 1;
	/* An answer of more than a page is not here to be seen, and stays as it is. */
	if (ctx->optlen > page_size)
		ctx->optlen = 0;
	return 1;
}

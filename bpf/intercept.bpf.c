// SPDX-License-Identifier: GPL-2.0-only
/*
 * Outbound interception: programs of the cgroup whose connects go to a listener. See
 * intercept-api.h for what becomes of where they were to go. One object for each [intercept NAME].
 */
/* No type of the kernel is looked into: loading it would take the time to read them all. */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "intercept-api.h"
#include "places.h"

char LICENSE[] SEC("license") = "GPL";

#define SOCK_STREAM      1
#define IPPROTO_TCP      6
#define AF_INET6         10
#define SOL_IP           0
#define SOL_IPV6         41
#define SO_ORIGINAL_DST  80 /* and IP6T_SO_ORIGINAL_DST */
#define ECONNREFUSED     111
#define LOOPBACK4        bpf_htonl(0x7f000001)
#define LOOPBACK4_MASK   bpf_htonl(0xff000000)
#define LINK_LOCAL6      bpf_htonl(0xfe800000)
#define LINK_LOCAL6_MASK bpf_htonl(0xffc00000)
#define ALLOW            1
#define DENY             0

/* Fixed before load. */
const volatile __u64 netns = 0;      /* the daemon's: what listens elsewhere is not its */
const volatile __u64 generation = 0; /* unlike that of every other object */
const volatile __u32 trial = 0;      /* see orders.tried */
const volatile __s32 page_size = 4096;
const volatile __u32 n_outbound = 0, n_except = 0;
const volatile struct intercept_rule outbound[INTERCEPT_RULES] = {};
const volatile struct intercept_rule except[INTERCEPT_RULES] = {};

volatile struct intercept_orders orders = {};
volatile struct intercept_counts counts = {};
volatile __u32 own = 0; /* the daemon's process, in the initial namespace */

/* Of an application's socket. */
struct origin {
	struct intercept_place original;
	struct intercept_place target; /* to which it was redirected */
	struct intercept_key key;      /* of its entry in `flows`, if it has one */
	__u64 generation;              /* of the object that redirected it */
	__u32 pending;                 /* its connect() has not got as far as its SYN */
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct origin);
} origins SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct intercept_key);
	__type(value, struct intercept_flow);
} flows SEC(".maps");

/* Of a socket that the daemon accepts. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct intercept_place);
} arrivals SEC(".maps");

/* ---- addresses ----------------------------------------------------------------------------- */

static __always_inline int is_loopback(const __u32 addr[4])
{
	if (is_ipv4(addr))
		return (addr[3] & LOOPBACK4_MASK) == (LOOPBACK4 & LOOPBACK4_MASK);
	return !addr[0] && !addr[1] && !addr[2] && addr[3] == bpf_htonl(1);
}

static __always_inline int is_same(const struct intercept_place *a,
				   const volatile struct intercept_place *b)
{
	return a->port == b->port && a->addr[0] == b->addr[0] && a->addr[1] == b->addr[1] &&
	       a->addr[2] == b->addr[2] && a->addr[3] == b->addr[3];
}

/* ---- which connects ------------------------------------------------------------------------ */

static __always_inline int any_holds(const volatile struct intercept_rule *rules, __u32 n,
				     const struct intercept_place *p)
{
	for (__u32 i = 0; i < INTERCEPT_RULES; i++) {
		if (i >= n)
			return 0;
		if (holds(&rules[i], p))
			return 1;
	}
	return 0;
}

/* An address that means this host, and none in particular, is what the kernel makes of it next. */
static __always_inline void settle(struct intercept_place *to)
{
	if (is_ipv4(to->addr) && !to->addr[3])
		to->addr[3] = LOOPBACK4;
	else if (!to->addr[0] && !to->addr[1] && !to->addr[2] && !to->addr[3])
		to->addr[3] = bpf_htonl(1);
}

/* What is on the same link has a scope besides its address, which would be lost. */
static __always_inline int is_on_link(const struct intercept_place *to)
{
	return (to->addr[0] & LINK_LOCAL6_MASK) == LINK_LOCAL6;
}

/* Each word is read by itself, and before any branch: the compiler would compute where to read. */
static __always_inline int is_bound_to(const volatile struct bpf_sock *sk, const __u32 addr[4])
{
	__u32 bound4 = sk->src_ip4, bound6[4], other = 0;

	for (int i = 0; i < 4; i++) {
		bound6[i] = sk->src_ip6[i];
		other |= bound6[i] ^ addr[i];
	}
	return is_ipv4(addr) ? bound4 == addr[3] : !other;
}

/*
 * Whether a daemon of this kind listens there, this one or another: then somebody wants that
 * daemon, or another one's programs have sent the connect there. A listener at all addresses is
 * found by any, those of other hosts as well; it is reached by loopback, where programs send to it.
 */
static __always_inline int is_a_daemons(struct bpf_sock_addr *ctx, const struct intercept_place *to)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;
	__u32 size, found;

	if (is_ipv4(to->addr)) {
		tuple.ipv4.daddr = to->addr[3];
		tuple.ipv4.dport = to->port;
		size = sizeof(tuple.ipv4);
	} else {
		for (int i = 0; i < 4; i++)
			tuple.ipv6.daddr[i] = to->addr[i];
		tuple.ipv6.dport = to->port;
		size = sizeof(tuple.ipv6);
	}
	sk = bpf_sk_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	found =
	    sk->priority == INTERCEPT_MARK && (is_loopback(to->addr) || is_bound_to(sk, to->addr));
	bpf_sk_release(sk);
	return found;
}

/* ---- connect() ----------------------------------------------------------------------------- */

enum answer { LEAVE, REDIRECT, REFUSE };

/* It goes where it was to go. What an earlier connect() of the socket has left is not true any
 * more. */
static __always_inline enum answer leave(struct bpf_sock *sk)
{
	(void)bpf_sk_storage_delete(&origins, sk);
	return LEAVE;
}

/* A connect that is wanted, and cannot be had. */
static __always_inline enum answer miss(struct bpf_sock *sk, volatile __u64 *count)
{
	__sync_fetch_and_add(count, 1);
	(void)bpf_sk_storage_delete(&origins, sk);
	return orders.required ? REFUSE : LEAVE;
}

/*
 * Another program has just redirected it: of another section, or of a newer or older process of the
 * daemon. What is kept of an earlier connect() that failed is not that, unless it went to the same
 * place.
 */
static __always_inline int is_redirected(struct bpf_sock *sk, const struct intercept_place *to)
{
	struct origin *o = bpf_sk_storage_get(&origins, sk, 0, 0);

	return o && o->pending && o->generation != generation && is_same(to, &o->target);
}

/* The listener's address of that family. 0: it has none. Who is interrupted between the version and
 * the address for as long as that takes to change twice, reads them anew. */
static __always_inline int read_target(int ipv4, struct intercept_place *ret)
{
	for (int tries = 0; tries < 2; tries++) {
		__u32 version = orders.version;
		volatile struct intercept_place *t = &orders.targets[version & 1][!ipv4];

		barrier();
		for (int i = 0; i < 4; i++)
			ret->addr[i] = t->addr[i];
		ret->port = t->port;
		barrier();
		if (version == orders.version)
			break;
	}
	return ret->port;
}

static __always_inline int is_target(const struct intercept_place *to)
{
	volatile struct intercept_place *targets = orders.targets[orders.version & 1];

	return is_same(to, &targets[0]) || is_same(to, &targets[1]);
}

static __always_inline enum answer decide(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					  struct intercept_place *to,
					  struct intercept_place *target)
{
	struct origin *o;

	settle(to);
	if (orders.retired || is_redirected(sk, to))
		return LEAVE;
	if (is_target(to) || any_holds(except, n_except, to) ||
	    !any_holds(outbound, n_outbound, to) || is_on_link(to) || is_a_daemons(ctx, to))
		return leave(sk);
	/* A socket that is bound to a device does not reach what is none of that. */
	if (!orders.ready || !read_target(is_ipv4(to->addr), target) || sk->bound_dev_if)
		return miss(sk, &counts.unready);
	o = bpf_sk_storage_get(&origins, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!o)
		return miss(sk, &counts.unkept);
	o->original = *to;
	o->target = *target;
	o->generation = generation;
	o->pending = 1;
	__sync_fetch_and_add(&counts.redirected, 1);
	return REDIRECT;
}

static __always_inline int refuse(void)
{
	(void)bpf_set_retval(-ECONNREFUSED);
	return DENY;
}

/* Run by the daemon itself. In a namespace of its own it does not know the id that counts here. */
SEC("syscall")
int introduce_intercepting(void *context __attribute__((unused)))
{
	own = bpf_get_current_pid_tgid() >> 32;
	return 0;
}

/* In a trial that is one socket of the daemon's own, and no other. What the daemon connects has the
 * mark, or, where it has left the cgroup that it started in, is known by its process. */
static __always_inline int may_be_any(struct bpf_sock_addr *ctx, const struct bpf_sock *sk)
{
	if (trial)
		return bpf_get_socket_cookie(ctx) == orders.tried;
	return sk->priority != INTERCEPT_MARK && (__u32)(bpf_get_current_pid_tgid() >> 32) != own;
}

/* A connection of MPTCP has sockets of TCP below its own, which is the one that the application
 * asks. */
static __always_inline int concerns(struct bpf_sock_addr *ctx, struct bpf_sock *sk)
{
	return ctx->type == SOCK_STREAM && ctx->protocol == IPPROTO_TCP && may_be_any(ctx, sk) &&
	       bpf_get_netns_cookie(ctx) == netns && !bpf_skc_to_mptcp_sock(sk);
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct intercept_place to = {}, target = {};
	struct bpf_sock *sk = ctx->sk;
	enum answer answer;

	if (!sk || !concerns(ctx, sk))
		return ALLOW;
	write_ipv4(to.addr, ctx->user_ip4);
	to.port = ctx->user_port;
	answer = decide(ctx, sk, &to, &target);
	if (answer == REFUSE)
		return refuse();
	if (answer == REDIRECT) {
		ctx->user_ip4 = target.addr[3];
		ctx->user_port = target.port;
	}
	return ALLOW;
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	struct intercept_place to = {}, target = {};
	struct bpf_sock *sk = ctx->sk;
	enum answer answer;

	if (!sk || !concerns(ctx, sk))
		return ALLOW;
	to.addr[0] = ctx->user_ip6[0];
	to.addr[1] = ctx->user_ip6[1];
	to.addr[2] = ctx->user_ip6[2];
	to.addr[3] = ctx->user_ip6[3];
	to.port = ctx->user_port;
	answer = decide(ctx, sk, &to, &target);
	if (answer == REFUSE)
		return refuse();
	if (answer == REDIRECT) {
		ctx->user_ip6[0] = target.addr[0];
		ctx->user_ip6[1] = target.addr[1];
		ctx->user_ip6[2] = target.addr[2];
		ctx->user_ip6[3] = target.addr[3];
		ctx->user_port = target.port;
	}
	return ALLOW;
}

/* ---- on its way ---------------------------------------------------------------------------- */

/* The socket has its port, and sends its SYN next. */
static __always_inline void connecting(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct intercept_flow flow = {};
	struct origin *o;

	if (!sk)
		return;
	o = bpf_sk_storage_get(&origins, sk, 0, 0);
	if (!o || !o->pending)
		return;
	o->pending = 0;
	__builtin_memset(&o->key, 0, sizeof(o->key));
	write_key(ops, &o->key);
	flow.original = o->original;
	flow.cookie = bpf_get_socket_cookie(ops);
	if (bpf_map_update_elem(&flows, &o->key, &flow, BPF_ANY))
		__sync_fetch_and_add(&counts.unfound, 1);
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* The socket is closed: the daemon may not have accepted it, and somebody else will have its
 * addresses. */
static __always_inline void closed(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct intercept_flow *flow;
	struct origin *o;

	if (!sk)
		return;
	o = bpf_sk_storage_get(&origins, sk, 0, 0);
	if (!o)
		return;
	flow = bpf_map_lookup_elem(&flows, &o->key);
	if (flow && flow->cookie == bpf_get_socket_cookie(ops))
		(void)bpf_map_delete_elem(&flows, &o->key);
}

SEC("sockops")
int follow(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		connecting(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ops->args[1] == BPF_TCP_CLOSE)
			closed(ops);
		break;
	default:
		break;
	}
	return 1;
}

/* ---- arriving ------------------------------------------------------------------------------ */

/* As the application's socket has it. */
static __always_inline void write_arrival(struct bpf_sock_ops *ops, struct intercept_key *key)
{
	write_ends(ops, key->target, key->source);
	key->source_port = bpf_htons(bpf_ntohl(ops->remote_port));
	key->target_port = bpf_htons(ops->local_port);
}

/* Of the daemon's own cgroup: the socket exists that it will accept, and what belongs to that stays
 * with it, whatever becomes of the other end. */
SEC("sockops")
int arrive(struct bpf_sock_ops *ops)
{
	struct intercept_key key = {};
	struct intercept_flow *flow;
	struct bpf_sock *sk = ops->sk;

	if (ops->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB || !sk ||
	    bpf_get_netns_cookie(ops) != netns)
		return 1;
	write_arrival(ops, &key);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (flow && bpf_sk_storage_get(&arrivals, sk, &flow->original, BPF_SK_STORAGE_GET_F_CREATE))
		(void)bpf_map_delete_elem(&flows, &key);
	return 1;
}

#include "intercept-answer.h"

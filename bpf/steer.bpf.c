// SPDX-License-Identifier: GPL-2.0-only
/* Inbound steering: who of this network namespace gets a SYN. See steer-api.h. */
/* No type of the kernel is looked into: loading it would take the time to read them all. */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "places.h"
#include "steer-api.h"

char LICENSE[] SEC("license") = "GPL";

#define IPPROTO_TCP 6

/* Fixed before load. */
const volatile __u64 netns = 0;
const volatile __u64 generation = 0; /* unlike that of every other object */
const volatile __u32 trial = 0;      /* also what another program has given to somebody else */

volatile struct steer_orders orders = {};
volatile struct steer_counts counts = {};

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 2 * STEER_RULES);
	__type(key, __u32);
	__type(value, __u64);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct steer_place);
	__type(value, __u32); /* enum steer_own */
} places SEC(".maps");

/* Of the daemon's sockets that connect: the cookie. What is old is connected long since. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct intercept_key);
	__type(value, __u64);
} own SEC(".maps");

/* Of all objects of the daemon, the generation of the one that steers. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} serving SEC(".maps");

/* ---- which connections --------------------------------------------------------------------- */

/* The number of the listener that wants it; -1: none does. A function of its own, which the
 * verifier follows once, whatever it knows of who calls. */
__attribute__((noinline)) int find_listener(__u32 set, const struct intercept_place *p)
{
	__u32 n = orders.n[set & 1], excepted = 0;

	if (!p)
		return -1;
	for (__u32 i = 0; i < STEER_RULES; i++) {
		volatile struct steer_rule *r = &orders.rules[set & 1][i];

		if (i >= n)
			return -1;
		if (r->kind == STEER_EXCEPT) {
			if (holds(&r->what, p))
				excepted = 1;
			continue;
		}
		if (!excepted && holds(&r->what, p))
			return (int)(r->listener & (STEER_RULES - 1));
		excepted = 0;
	}
	return -1;
}

/* Where the daemon listens itself; NULL: it does not. */
static __always_inline __u32 *find_own(__u32 set, const struct intercept_place *p)
{
	struct steer_place at = {.port = p->port, .set = (__u16)set};
	__u32 *found;

	for (int i = 0; i < 4; i++)
		at.addr[i] = p->addr[i];
	found = bpf_map_lookup_elem(&places, &at);
	if (found)
		return found;
	/* At every address of the family. */
	if (is_ipv4(p->addr))
		at.addr[3] = 0;
	else
		at.addr[0] = at.addr[1] = at.addr[2] = at.addr[3] = 0;
	return bpf_map_lookup_elem(&places, &at);
}

static __always_inline void write_place(const struct intercept_key *key, struct intercept_place *to)
{
	for (int i = 0; i < 4; i++)
		to->addr[i] = key->target[i];
	to->port = key->target_port;
	to->reserved = 0;
}

/* ---- who comes ----------------------------------------------------------------------------- */

static __always_inline int is_serving(void)
{
	__u32 zero = 0;
	__u64 *now = bpf_map_lookup_elem(&serving, &zero);

	return orders.ready && now && *now == generation;
}

static __always_inline void write_asked(struct bpf_sk_lookup *ctx, struct intercept_key *key)
{
	if (ctx->family == AF_INET) {
		write_ipv4(key->source, FIELD(ctx->remote_ip4));
		write_ipv4(key->target, FIELD(ctx->local_ip4));
		barrier();
	} else {
		for (int i = 0; i < 4; i++) {
			key->source[i] = FIELD(ctx->remote_ip6[i]);
			key->target[i] = FIELD(ctx->local_ip6[i]);
		}
	}
	key->source_port = ctx->remote_port;
	key->target_port = bpf_htons((__u16)ctx->local_port);
}

/* To the first socket of the listener's address: which of them it is in the end, the kernel says
 * (SO_REUSEPORT). */
static __always_inline int assign(struct bpf_sk_lookup *ctx, __u32 listener)
{
	struct bpf_sock *sk = bpf_map_lookup_elem(&listeners, &listener);
	long err;

	if (!sk) {
		if (ctx->remote_port)
			__sync_fetch_and_add(&counts.missed, 1);
		return SK_PASS;
	}
	err = bpf_sk_assign(ctx, sk, trial ? BPF_SK_LOOKUP_F_REPLACE : 0);
	bpf_sk_release(sk);
	/* Who looks a socket up (bpf_sk_lookup_tcp(), as interception does) names no source. */
	if (ctx->remote_port)
		__sync_fetch_and_add(err ? &counts.missed : &counts.steered, 1);
	return SK_PASS;
}

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *ctx)
{
	struct intercept_key key = {};
	struct intercept_place to;
	__u32 set, *place;
	int listener;

	if (ctx->protocol != IPPROTO_TCP || !is_serving())
		return SK_PASS;
	set = orders.set & 1;
	write_asked(ctx, &key);
	write_place(&key, &to);
	place = find_own(set, &to);
	if (place)
		return *place == STEER_HIDDEN ? SK_DROP : SK_PASS;
	listener = find_listener(set, &to);
	if (listener < 0)
		return SK_PASS;
	if (bpf_map_lookup_elem(&own, &key)) {
		__sync_fetch_and_add(&counts.own, 1);
		return SK_PASS;
	}
	/* To whom another program has given it, before this one, has it. */
	if (ctx->sk && !trial) {
		__sync_fetch_and_add(&counts.missed, 1);
		return SK_PASS;
	}
	return assign(ctx, STEER_LISTENER(set, (__u32)listener));
}

/* ---- what the daemon connects -------------------------------------------------------------- */

/* The socket has its port, and sends its SYN next. */
static __always_inline void connecting(struct bpf_sock_ops *ops)
{
	struct intercept_key key = {};
	struct bpf_sock *sk = ops->sk;
	struct intercept_place to;
	__u64 cookie;

	if (!sk || sk->priority != INTERCEPT_MARK || bpf_get_netns_cookie(ops) != netns)
		return;
	write_key(ops, &key);
	write_place(&key, &to);
	if (find_listener(orders.set & 1, &to) < 0)
		return;
	cookie = bpf_get_socket_cookie(ops);
	if (bpf_map_update_elem(&own, &key, &cookie, BPF_ANY))
		__sync_fetch_and_add(&counts.unkept, 1);
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* Somebody else may have its addresses next. */
static __always_inline void closed(struct bpf_sock_ops *ops)
{
	struct intercept_key key = {};
	__u64 *cookie;

	write_key(ops, &key);
	cookie = bpf_map_lookup_elem(&own, &key);
	if (cookie && *cookie == bpf_get_socket_cookie(ops))
		(void)bpf_map_delete_elem(&own, &key);
}

/* Of a cgroup that the daemon is below. */
SEC("sockops")
int exempt(struct bpf_sock_ops *ops)
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

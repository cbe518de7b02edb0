/* SPDX-License-Identifier: GPL-2.0-only */
/* Two sockops programs, by which the applications' sockets are found, and followed. */
#ifndef BYPASS_ENROL_H
#define BYPASS_ENROL_H

#include "bypass-way.h"

/* ---- the daemon's sockets ------------------------------------------------------------------ */

/*
 * A client's SYN has come to a listener: what its socket will see is known before that socket gets
 * the answer, and so before it is established.
 */
static __always_inline void announce_client(struct bpf_sock_ops *ops)
{
	struct bpf_sock_ops_kern *kern = (void *)ops;
	__u64 sk = 0, listener = 0, cookie = 0;
	struct place nobody = {};
	struct handshake theirs;
	unsigned char state = 0;

	(void)bpf_probe_read_kernel(&sk, sizeof(sk), __builtin_preserve_access_index(&kern->sk));
	(void)READ(state, sk, struct sock, __sk_common.skc_state);
	if (state != TCP_NEW_SYN_RECV)
		return;
	(void)READ(listener, sk, struct sock_common, skc_listener);
	(void)READ(cookie, listener, struct sock, __sk_common.skc_cookie);
	if (!bpf_map_lookup_elem(&listening, &cookie))
		return;
	(void)READ(theirs.sent, sk, struct tcp_request_sock, rcv_isn);
	(void)READ(theirs.received, sk, struct tcp_request_sock, snt_isn);
	theirs.sent++;
	theirs.received++;
	(void)bpf_map_update_elem(&expected, &theirs, &nobody, BPF_NOEXIST);
}

static __always_inline void proxy_established(struct bpf_sock_ops *ops, int active)
{
	struct bpf_sock *sk = ops->sk;
	struct handshake *ours, theirs;
	struct place nobody = {};
	struct tcp_sock *tp;

	if (!sk)
		return;
	ours = bpf_sk_storage_get(&joining, sk, 0, 0);
	if (!ours)
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	ours->sent = tp->write_seq;
	ours->received = tp->rcv_nxt;
	theirs.sent = ours->received;
	theirs.received = ours->sent;
	/* The server's socket is established when this one's acknowledgement has come. */
	if (active)
		(void)bpf_map_update_elem(&expected, &theirs, &nobody, BPF_NOEXIST);
}

/* Attached to the daemon's own cgroup. */
SEC("sockops")
int announce(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_RWND_INIT:
		announce_client(ops);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		proxy_established(ops, 1);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		proxy_established(ops, 0);
		break;
	default:
		break;
	}
	return 1;
}

/* ---- the applications' --------------------------------------------------------------------- */

/* An IPv6 socket may be connected by IPv4. */
static __always_inline int is_ipv6(const struct sock_common *sk)
{
	const __u32 *remote = sk->skc_v6_daddr.in6_u.u6_addr32;

	return sk->skc_family == AF_INET6 &&
	       (remote[0] || remote[1] || remote[2] != bpf_htonl(0xffff));
}

/* Addresses and ports of what comes to the socket. */
static __always_inline void write_tuple(const struct sock_common *sk, struct place *place)
{
	struct bpf_sock_tuple *t = &place->tuple;

	/* Some kernels have no IPv6. */
	if (bpf_core_field_exists(sk->skc_v6_daddr) && is_ipv6(sk)) {
		for (int i = 0; i < 4; i++) {
			t->ipv6.saddr[i] = sk->skc_v6_daddr.in6_u.u6_addr32[i];
			t->ipv6.daddr[i] = sk->skc_v6_rcv_saddr.in6_u.u6_addr32[i];
		}
		t->ipv6.sport = sk->skc_dport;
		t->ipv6.dport = bpf_htons(sk->skc_num);
		place->size = sizeof(t->ipv6);
	} else {
		t->ipv4.saddr = sk->skc_daddr;
		t->ipv4.daddr = sk->skc_rcv_saddr;
		t->ipv4.sport = sk->skc_dport;
		t->ipv4.dport = bpf_htons(sk->skc_num);
		place->size = sizeof(t->ipv4);
	}
}

/*
 * Those of a daemon like this one are no application's: it may have given them to its kernel
 * engine, or join others to them; and what it counts of them, and knows of their silence, is TCP's.
 * What it connects has its mark; what it accepts has that as well if it copies, which its program
 * may see to later than this one (peek looks at it again), and else the flag for the kernel
 * engine's sockops; or the storage of this daemon's bypass.
 */
static __always_inline int is_a_proxys(struct bpf_sock_ops *ops, struct bpf_sock *sk)
{
	if (bpf_sk_storage_get(&joining, sk, 0, 0))
		return 1;
	return !proving && (sk->priority == INTERCEPT_MARK ||
			    ops->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
}

/*
 * Of all sockets of the cgroup only those that one of the daemon's has announced are touched. To be
 * in a map of sockets costs them much when they are closed: where it can be done later, it is.
 */
static __always_inline void enrol_established(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct handshake mine;
	struct tcp_sock *tp;
	struct place *place;
	__u64 cookie;

	if (!sk || is_a_proxys(ops, sk))
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	mine.sent = tp->write_seq;
	mine.received = tp->rcv_nxt;
	place = bpf_map_lookup_elem(&expected, &mine);
	if (!place || place->cookie)
		return;
	cookie = bpf_get_socket_cookie(ops);
	if (late_netns && bpf_get_netns_cookie(ops) == late_netns)
		write_tuple(&((struct sock *)tp)->__sk_common, place);
	/* In the map at once, a recv() of one that blocks may fail with EAGAIN. A server's has no
	 * file yet. */
	else if ((late_netns && file_of((__u64)tp) == 1) ||
		 bpf_sock_hash_update(ops, &joined, &cookie, BPF_ANY))
		return;
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG |
					   BPF_SOCK_OPS_RTT_CB_FLAG);
	place->addr = (__u64)tp;
	/* Last, and behind a barrier: what is found is complete. */
	(void)__sync_lock_test_and_set(&place->cookie, cookie);
}

/* Whether an application's socket is being closed, and not only shut down: sock_map_close() takes
 * its psock away before the rest, or at least stops it, where somebody else has it still. */
static __always_inline int is_closed(const struct sock *sk)
{
	__u64 psock = (__u64)sk->sk_user_data & ~PSOCK_FLAGS;
	unsigned long state = 0;

	if ((sk->sk_shutdown & SHUTDOWN_BOTH) != SHUTDOWN_BOTH)
		return 0;
	if (!psock)
		return 1;
	(void)READ(state, psock, struct sk_psock, state);
	return !(state >> bpf_core_enum_value(enum sk_psock_state_bits, SK_PSOCK_TX_ENABLED) & 1);
}

/* Whether it has bytes of which TCP knows nothing: what came by TCP was all read before. */
static __always_inline int has_unread(const struct tcp_sock *tp)
{
	return ((const struct sock *)tp)->sk_backlog.rmem_alloc.counter > 0 &&
	       tp->rcv_nxt == tp->copied_seq;
}

/*
 * An application's socket leaves a state. Closed with bytes that it has not read, of which TCP
 * knows nothing, it would say FIN where TCP says RST. In CLOSE_WAIT there are none: the FIN is
 * passed on behind them, and counts as memory itself. That memory is freed some time after the
 * closing.
 */
static __always_inline void enrolled_state(struct bpf_sock_ops *ops)
{
	__u64 cookie = bpf_get_socket_cookie(ops);
	struct tcp_sock *tp;
	struct bpf_sock *sk;
	struct way *way;

	if (ops->args[0] != BPF_TCP_ESTABLISHED || ops->args[1] == BPF_TCP_CLOSE)
		return;
	sk = ops->sk;
	tp = sk ? bpf_skc_to_tcp_sock(sk) : 0;
	if (!tp || !is_closed((struct sock *)tp) || !has_unread(tp))
		return;
	way = way_from(cookie);
	/* Where the other one is elsewhere, all that comes comes by TCP. */
	if (!way || way->outlet)
		return;
	if (come_in(way, cookie))
		way->discarded = 1;
	go_out(way);
}

/* Longer than TCP takes to send what nothing holds back, and shorter than its timers, of 200 ms. */
#define LATE_NS 150000000

/*
 * A token that could have been sent at once has been acknowledged. Behind MSG_MORE, which no
 * program can see, it stands until a timer of TCP's sends it, and the source waits for that.
 */
static __always_inline void token_acked(struct way *way, const struct tcp_sock *tp, __u64 cookie)
{
	if (!way->token_ns || tp->snd_una != tp->write_seq)
		return;
	if (come_in(way, cookie)) {
		way->lates =
		    bpf_ktime_get_coarse_ns() - way->token_ns > LATE_NS ? way->lates + 1 : 0;
		way->token_ns = 0;
	}
	go_out(way);
}

/*
 * With TCP_NOTSENT_LOWAT at 1 a source that has a token unsent must wait. It is set when the way is
 * there, and no sooner, since it makes plain TCP slower; and undone when that is over. What the
 * application has set itself stays.
 */
static __always_inline void enrolled_acked(struct bpf_sock_ops *ops)
{
	__u64 cookie = bpf_get_socket_cookie(ops);
	struct bypass_ref *ref = bpf_map_lookup_elem(&bypass_of, &cookie);
	struct bpf_sock *sk = ops->sk;
	struct tcp_sock *tp;
	struct way *way;
	int want = 0, is;

	tp = ref && sk ? bpf_skc_to_tcp_sock(sk) : 0;
	if (!tp)
		return;
	way = way_from(cookie);
	if (way && way->source == cookie && !way->on && way->phase == WAY_CARRIES && !way->leave)
		return; /* it is about to be */
	if (way && way->on && way->source == cookie && way->phase != WAY_LEFT)
		/* One that is to be left without tokens in it: the daemon may give it up. */
		want = way->phase != WAY_CARRIES || !way->leave;
	if (want)
		token_acked(way, tp, cookie);
	is = tp->notsent_lowat;
	if (is != want && (is == 0 || is == 1))
		(void)bpf_setsockopt(ops, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &want, sizeof(want));
	if (!want)
		bpf_sock_ops_cb_flags_set(ops,
					  ops->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_RTT_CB_FLAG);
}

/* Attached to the cgroup whose applications may be bypassed. */
SEC("sockops")
int enrol(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		enrol_established(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		enrolled_state(ops);
		break;
	case BPF_SOCK_OPS_RTT_CB:
		enrolled_acked(ops);
		break;
	default:
		break;
	}
	return 1;
}

#endif

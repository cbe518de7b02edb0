// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bypass: two sockops programs, by which the sockets of applications are found; `find` and
 * `admit`, by which they come into `joined`; the sk_msg program that sends from one to the other;
 * and `peek`, which tells the daemon what it cannot see of them. See bypass-api.h.
 */
#include "kernel-types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bypass-api.h"

char LICENSE[] SEC("license") = "GPL";

#define TCP_ESTABLISHED   1
#define TCP_NEW_SYN_RECV  12
#define TCP_NOTSENT_LOWAT 25
#define IPPROTO_TCP       6
#define AF_INET6          10
#define RCV_SHUTDOWN      1
#define SHUTDOWN_BOTH     3
#define O_NONBLOCK        04000

/* How long a send waits for the daemon to catch up, in CARRIES. */
#define SPIN_NS    50000
#define SPIN_STEPS (1 << 16)
/* After a wait in vain so many sends do without, then twice as many. */
#define SPINS_MAX 64

/*
 * Sockets of this network namespace, the daemon's, come into `joined` when they are to be bypassed;
 * those of others when they are established, for `admit` would not find them; 0: all of them.
 */
const volatile __u64 late_netns = 0;

/* Where a socket is; not shared: whoever could write an address here could read the kernel's
 * memory. */
struct place {
	__u64 cookie; /* 0: it is not established yet */
	__u64 addr;
	struct bpf_sock_tuple tuple; /* as what comes to it has it */
	__u32 size;                  /* of the tuple; 0: the socket is in `joined` already */
};

/* Sizes are placeholders: the daemon sets them from max_sessions before load. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct handshake);
} joining SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} listening SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct handshake);
	__type(value, struct place);
} expected SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u64);
} joined SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct bypass_ref);
} bypass_of SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct way);
} ways SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct place);
} aims SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64); /* elements are 8 bytes apart, whatever they are */
} looks SEC(".maps");

#define READ(dest, base, type, field)                \
	bpf_probe_read_kernel(&(dest), sizeof(dest), \
			      (const void *)((base) + bpf_core_field_offset(type, field)))

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

	if (!sk)
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
	else if (bpf_sock_hash_update(ops, &joined, &cookie, BPF_ANY))
		return;
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG |
					   BPF_SOCK_OPS_RTT_CB_FLAG);
	place->addr = (__u64)tp;
	/* Last, and behind a barrier: what is found is complete. */
	(void)__sync_lock_test_and_set(&place->cookie, cookie);
}

/*
 * Between these two the way is what it is: the daemon, which turns it off first, then waits until
 * `inside` is 0 before another session gets it. Additions whose result is used are full barriers,
 * as is the daemon's store: either it sees the program, or the program that the way is off.
 */
static __always_inline int come_in(struct way *way, __u64 cookie)
{
	__u32 others = __sync_fetch_and_add(&way->inside, 1);

	asm volatile("" ::"r"(others));
	return way->on && way->source == cookie;
}

static __always_inline void go_out(struct way *way)
{
	__u32 others = __sync_fetch_and_add(&way->inside, -1);

	asm volatile("" ::"r"(others));
}

static __always_inline struct way *way_from(__u64 cookie)
{
	struct bypass_ref *ref = bpf_map_lookup_elem(&bypass_of, &cookie);
	__u32 index;

	if (!ref || ref->role != BYPASS_ROLE_SOURCE)
		return 0;
	index = ref->way;
	return bpf_map_lookup_elem(&ways, &index);
}

/*
 * An application's socket leaves a state. Closed with bytes that it has not read, of which TCP
 * knows nothing, it would say FIN where TCP says RST. In CLOSE_WAIT there are none: the FIN is
 * passed on behind them, and counts as memory itself.
 */
static __always_inline void enrolled_state(struct bpf_sock_ops *ops)
{
	__u64 cookie = bpf_get_socket_cookie(ops);
	struct tcp_sock *tp;
	struct bpf_sock *sk;
	struct sock *raw;
	struct way *way;

	if (ops->args[0] != BPF_TCP_ESTABLISHED || ops->args[1] == BPF_TCP_CLOSE)
		return;
	sk = ops->sk;
	tp = sk ? bpf_skc_to_tcp_sock(sk) : 0;
	if (!tp)
		return;
	raw = (struct sock *)tp;
	if ((raw->sk_shutdown & SHUTDOWN_BOTH) != SHUTDOWN_BOTH ||
	    raw->sk_backlog.rmem_alloc.counter <= 0)
		return;
	way = way_from(cookie);
	if (!way)
		return;
	if (come_in(way, cookie))
		way->discarded = 1;
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
	if (way && way->source == cookie && !way->on && way->phase == WAY_CARRIES)
		return; /* it is about to be */
	if (way && way->on && way->source == cookie && way->phase != WAY_LEFT)
		want = 1;
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

/* ---- being joined -------------------------------------------------------------------------- */

/* Run by the daemon: an application's socket is to be the target of a way. */
SEC("syscall")
int find(struct find_args *args)
{
	struct handshake theirs = args->theirs;
	struct place *place, *aim;
	__u32 index = args->way;

	args->cookie = 0;
	place = bpf_map_lookup_elem(&expected, &theirs);
	aim = bpf_map_lookup_elem(&aims, &index);
	if (!place || !aim || !place->cookie)
		return 0;
	*aim = *place;
	args->cookie = aim->cookie;
	return 0;
}

/* Whether the target of the way is in `joined` now. */
static __always_inline int admit_target(struct __sk_buff *skb, __u32 index)
{
	struct place *aim = bpf_map_lookup_elem(&aims, &index);
	struct bpf_sock_tuple tuple;
	struct tcp_sock *tp;
	struct bpf_sock *sk;
	__u64 cookie;
	long err = -1;

	if (!aim || !aim->cookie)
		return 0;
	if (!aim->size)
		return 1;
	tuple = aim->tuple;
	cookie = aim->cookie;
	if (aim->size == sizeof(tuple.ipv6))
		sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp && (__u64)((struct sock *)tp)->__sk_common.skc_cookie.counter == cookie)
		err = bpf_map_update_elem(&joined, &cookie, sk, BPF_ANY);
	bpf_sk_release(sk);
	return !err;
}

/* Run by the daemon, with a struct admit_packet. */
SEC("tc")
int admit(struct __sk_buff *skb)
{
	__u32 ways[2];
	int n;

	if (bpf_skb_load_bytes(skb, __builtin_offsetof(struct admit_packet, ways), ways,
			       sizeof(ways)))
		return 0;
	n = admit_target(skb, ways[0]);
	return n ? n + admit_target(skb, ways[1]) : 0;
}

/* ---- sending ------------------------------------------------------------------------------- */

/* The address of the way's target; 0: there is none. */
static __always_inline __u64 aim_at(const struct way *way, __u32 index)
{
	struct place *aim = bpf_map_lookup_elem(&aims, &index);

	return aim && aim->cookie == way->target ? aim->addr : 0;
}

/* What was written before is seen by whoever sees the phase: an exchange is a full barrier. */
static __always_inline void enter(struct way *way, enum way_phase phase)
{
	(void)__sync_lock_test_and_set(&way->phase, phase);
}

static __always_inline int leave(struct way *way, __u32 at, enum way_why why)
{
	if (way->phase == WAY_CARRIES)
		way->tokens_from = at;
	way->tokens_bytes = at - way->tokens_from;
	way->why = why;
	enter(way, WAY_LEFT);
	return SK_PASS;
}

/* Why the way cannot be gone any longer; 0: it can. */
static __always_inline enum way_why obstacle(const struct way *way, struct tcp_sock *tp,
					     __u64 target)
{
	struct inet_connection_sock *icsk = (void *)tp;
	struct sock *sk = (void *)tp;
	__u64 cookie = 0, psock = 0, ulp = 0;
	unsigned char shut = 0;

	if (way->leave)
		return way->leave;
	if (icsk->icsk_ulp_ops)
		return WAY_TLS;
	if (sk->__sk_common.skc_flags >> bpf_core_enum_value(enum sock_flags, SOCK_ZEROCOPY) & 1)
		return WAY_ZEROCOPY;
	if (!target)
		return WAY_TARGET_GONE;
	(void)READ(cookie, target, struct sock, __sk_common.skc_cookie);
	(void)READ(psock, target, struct sock, sk_user_data);
	(void)READ(shut, target, struct sock, sk_shutdown);
	(void)READ(ulp, target, struct inet_connection_sock, icsk_ulp_ops);
	if (cookie != way->target || !psock || shut & RCV_SHUTDOWN)
		return WAY_TARGET_GONE;
	return ulp ? WAY_TLS : WAY_NOT_LEFT;
}

/* Whether enough waits in the target's queue: `queued` bytes, and fewer messages than were sent
 * since the first mark. */
static __always_inline int is_over(struct way *way, __u32 queued)
{
	if (way->direct_bytes - way->mark_bytes[1] >= queued) {
		way->mark_bytes[0] = way->mark_bytes[1];
		way->mark_messages[0] = way->mark_messages[1];
		way->mark_bytes[1] = way->direct_bytes;
		way->mark_messages[1] = way->direct_messages;
	}
	return queued > way->high || way->direct_messages - way->mark_messages[0] > way->messages;
}

struct spin {
	struct way *way;
	__u64 until;
	__u32 at;
	int done;
};

static long spin_step(__u32 i, struct spin *s)
{
	if (*(volatile __u32 *)&s->way->forwarded == s->at) {
		s->done = 1;
		return 1;
	}
	return (i & 15) == 15 && bpf_ktime_get_ns() > s->until;
}

/*
 * In CARRIES: whether everything the source ever gave to its TCP is in the target's queue. A send
 * that comes a moment too soon waits for that moment, unless that was in vain lately.
 */
static __always_inline int has_caught_up(struct way *way, struct tcp_sock *tp, __u32 at, int over)
{
	struct spin s = {.way = way, .at = at};
	__u32 pause;

	if (*(volatile __u32 *)&way->forwarded == at)
		return 1;
	way->late++;
	pause = way->spins;
	if (over || tp->snd_nxt != tp->write_seq)
		return 0;
	/* `spins` is a power of two: one in so many late sends waits. */
	if (pause && way->late & (pause - 1))
		return 0;
	s.until = bpf_ktime_get_ns() + SPIN_NS;
	bpf_loop(SPIN_STEPS, spin_step, &s, 0);
	/* It may have become another one's. */
	if (!way->on)
		return 0;
	if (!s.done)
		way->spins = pause ? (pause < SPINS_MAX ? pause * 2 : SPINS_MAX) : 2;
	return s.done;
}

/*
 * Whether a token is one segment of the source's TCP, which is taken whole or not at all: TCP looks
 * for room before each segment, and with TCP_NOTSENT_LOWAT at 1 there is none behind an unsent one.
 * When a part of what a verdict was for is not taken, the kernel drops the rest, and keeps the
 * verdict for as many bytes of what is sent next (tcp_bpf_send_verdict()): data for tokens. The
 * size of a segment is tcp_xmit_size_goal()'s.
 */
static __always_inline int is_one_segment(struct tcp_sock *tp)
{
	struct sock *sk = (void *)tp;
	__u32 mss = tp->mss_cache, most = tp->max_window / 2;

	/* Options, the most of them, make it smaller. */
	if (mss >= BYPASS_TOKEN + 40)
		return 1;
	if (most > sk->sk_gso_max_size)
		most = sk->sk_gso_max_size;
	return most >= BYPASS_TOKEN + mss && sk->sk_gso_max_segs * (mss - 40) >= BYPASS_TOKEN;
}

static __always_inline void sign(struct sk_msg_md *msg, const struct way *way)
{
	__u64 *data = (void *)(long)msg->data;

	if ((void *)(data + 1) <= (void *)(long)msg->data_end)
		*data = way->nonce;
}

/* The source can still send: a token in its TCP has its next send wait. 0: there is one now. */
static __always_inline int hold(struct sk_msg_md *msg, struct way *way, struct tcp_sock *tp,
				__u32 queued)
{
	struct sock *sk = (void *)tp;
	__s32 room = (__s32)(tp->snd_una + tp->snd_wnd - tp->write_seq);

	if (tp->write_seq - tp->snd_nxt >= tp->notsent_lowat || sk->sk_wmem_queued >= sk->sk_sndbuf)
		return -1;
	way->rest = queued / 2 < way->low ? queued / 2 : way->low;
	if (room < BYPASS_TOKEN)
		way->full = 1;
	if (bpf_msg_push_data(msg, 0, BYPASS_TOKEN, 0))
		return -1;
	sign(msg, way);
	bpf_msg_apply_bytes(msg, BYPASS_TOKEN);
	way->held++;
	return 0;
}

static __always_inline int go_direct(struct sk_msg_md *msg, struct way *way, __u32 index,
				     __u32 size)
{
	struct bpf_sock *sk = msg->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : 0;
	__u64 target, key;
	__u32 at, queued = 0;
	enum way_why why;
	int over;

	if (!tp)
		return SK_PASS;
	at = tp->write_seq - way->base;
	target = aim_at(way, index);
	why = obstacle(way, tp, target);
	if (why)
		return leave(way, at, why);
	(void)READ(queued, target, struct sock, sk_backlog.rmem_alloc);
	over = is_over(way, queued);
	if (tp->notsent_lowat > BYPASS_TOKEN)
		return leave(way, at, WAY_OWN_LOWAT);
	if (way->phase == WAY_CARRIES) {
		/* Without its low mark, which is on its way, a token would stop nothing. */
		if (!has_caught_up(way, tp, at, over) || !tp->notsent_lowat)
			return SK_PASS;
		way->tokens_from = at;
		enter(way, WAY_DIRECT);
	}
	/* Some of a token was not taken, and data was instead: see is_one_segment(). */
	if (at - way->tokens_from != way->held * BYPASS_TOKEN)
		return leave(way, at, WAY_CORRUPT);
	if (over && !is_one_segment(tp))
		return leave(way, at, WAY_SEGMENTS);
	/* Undone by the application. */
	if (!tp->notsent_lowat)
		return leave(way, at, WAY_OWN_LOWAT);
	if (over && hold(msg, way, tp, queued) == 0)
		return SK_PASS;
	key = way->target;
	if (bpf_msg_redirect_hash(msg, &joined, &key, BPF_F_INGRESS) != SK_PASS)
		return leave(way, at, WAY_REFUSED);
	way->direct_bytes += size;
	way->direct_messages++;
	way->active_ns = bpf_ktime_get_coarse_ns();
	return SK_PASS;
}

SEC("sk_msg")
int forward(struct sk_msg_md *msg)
{
	struct bypass_ref *ref;
	struct bpf_sock *sk;
	struct tcp_sock *tp;
	struct way *way;
	__u64 cookie, key;
	__u32 size, index;
	int verdict = SK_PASS;

	/* Read once, in a form that the verifier takes: clang would merge this load with others. */
	size = msg->size;
	asm volatile("" : "+r"(size));
	sk = msg->sk;
	tp = sk ? bpf_skc_to_tcp_sock(sk) : 0;
	if (!tp)
		return SK_PASS;
	/* apply_bytes sticks to the rest of a message: it counts anew each time. */
	bpf_msg_apply_bytes(msg, 0);
	cookie = (__u64)((struct sock *)tp)->__sk_common.skc_cookie.counter;
	ref = bpf_map_lookup_elem(&bypass_of, &cookie);
	if (!ref || ref->role == BYPASS_ROLE_NONE)
		return SK_PASS;
	if (ref->role == BYPASS_ROLE_INJECT) {
		key = ref->target;
		return bpf_msg_redirect_hash(msg, &joined, &key, BPF_F_INGRESS);
	}
	index = ref->way;
	way = bpf_map_lookup_elem(&ways, &index);
	if (!way)
		return SK_PASS;
	if (come_in(way, cookie) && way->phase != WAY_LEFT)
		verdict = go_direct(msg, way, index, size);
	go_out(way);
	return verdict;
}

/* ---- looking ------------------------------------------------------------------------------- */

static __always_inline __u32 file_of(__u64 target)
{
	__u64 socket = 0, file = 0;
	unsigned int flags = 0;

	(void)READ(socket, target, struct sock, sk_socket);
	if (!socket)
		return 0;
	(void)READ(file, socket, struct socket, file);
	if (!file)
		return 0;
	(void)READ(flags, file, struct file, f_flags);
	return flags & O_NONBLOCK ? 2 : 1;
}

static __always_inline void look(struct way *way, __u64 target)
{
	__u64 cookie = 0, ulp = 0;
	unsigned char state = 0, shut = 0;
	__u32 copied = 0;
	unsigned long flags = 0;

	(void)READ(way->queued, target, struct sock, sk_backlog.rmem_alloc);
	(void)READ(state, target, struct sock, __sk_common.skc_state);
	(void)READ(shut, target, struct sock, sk_shutdown);
	(void)READ(copied, target, struct tcp_sock, copied_seq);
	(void)READ(way->received, target, struct tcp_sock, rcv_nxt);
	(void)READ(way->written, target, struct tcp_sock, write_seq);
	(void)READ(ulp, target, struct inet_connection_sock, icsk_ulp_ops);
	(void)READ(flags, target, struct sock, __sk_common.skc_flags);
	way->unread = way->received - copied;
	way->state = state;
	way->deaf = shut & RCV_SHUTDOWN;
	way->file = file_of(target);
	way->unfit = ulp ? WAY_TLS : WAY_NOT_LEFT;
	if (flags >> bpf_core_enum_value(enum sock_flags, SOCK_ZEROCOPY) & 1)
		way->unfit = WAY_ZEROCOPY;
	/* Last: it may be freed, and be another one's, at any moment before. */
	(void)READ(cookie, target, struct sock, __sk_common.skc_cookie);
	way->there = cookie == way->target;
}

static long peek_step(__u32 i, __u32 *first)
{
	__u32 at = *first + i, n;
	struct way *way;
	__u64 target, *index;

	index = bpf_map_lookup_elem(&looks, &at);
	if (!index)
		return 1;
	n = *index;
	way = bpf_map_lookup_elem(&ways, &n);
	if (!way)
		return 0;
	target = aim_at(way, n);
	if (target)
		look(way, target);
	else
		way->there = 0;
	return 0;
}

/* Run by the daemon: looks at the targets of args->n ways. */
SEC("syscall")
int peek(struct peek_args *args)
{
	__u32 first = args->first;

	bpf_loop(args->n, peek_step, &first, 0);
	return 0;
}

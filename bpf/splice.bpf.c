// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel half of a session: a sockops program that collects the daemon's sockets, and a
 * stream verdict program that moves the bytes of engaged sources to their targets.
 *
 * Every verdict is counted under its reason (enum verdict_why).
 */
#include "kernel-types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "lane-math.h"

char LICENSE[] SEC("license") = "GPL";

/* Fixed before load, so that switched-off branches cost nothing. */
const volatile __u32 debug_flags = 0;
const volatile __u32 kernel_version = 0; /* as LINUX_VERSION_CODE */
const volatile __u32 collecting = 0;     /* sockets marked in `owned` go into `sockets` at once */

/* How many of the daemon's threads want a source out of `engaged` right now: see leave.h. */
volatile __u32 leaving = 0;

volatile __u32 unheard = 0;
volatile __u32 daemon = 0;

/* Sizes are placeholders: the daemon sets them from max_sessions before load. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u64);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u64);
} engaged SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct lane);
} lanes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct lane_ref);
} lane_of SEC(".maps");

struct event_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SPLICE_MAX_WORKERS);
	__type(key, __u32);
	__array(values, struct event_ring);
} events SEC(".maps");

/* A listener's entry is cloned into each socket it accepts. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, __u32);
} owned SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, _VERDICT_MAX);
	__type(key, __u32);
	__type(value, __u64);
} verdicts SEC(".maps");

static __always_inline void count(enum verdict_why why)
{
	__u32 key = why;
	__u64 *n = bpf_map_lookup_elem(&verdicts, &key);

	if (n)
		*n += 1;
}

static __always_inline int post(const struct lane *lane, __u32 index, enum lane_event_kind kind,
				enum verdict_why why)
{
	struct lane_event event = {
	    .lane = index,
	    .generation = lane->generation,
	    .kind = kind,
	    .why = why,
	};
	__u32 worker = lane->worker;
	void *ring = bpf_map_lookup_elem(&events, &worker);

	/* The daemon looks at all of a worker's lanes when this counter has moved. */
	if (!ring || bpf_ringbuf_output(ring, &event, sizeof(event), 0)) {
		count(VERDICT_EVENT_LOST);
		return -1;
	}
	return 0;
}

#include "gate.h"
#include "leave.h"

/* ---- sockops ---------------------------------------------------------------------------- */

/* Run by the daemon itself. In a namespace of its own it does not know the id that counts here. */
SEC("syscall")
int introduce(void *context __attribute__((unused)))
{
	daemon = bpf_get_current_pid_tgid() >> 32;
	return 0;
}

/*
 * A process of the cgroup connects a socket, or listens on one: its own thread is running. From now
 * on the program is called under the lock of the daemon's socket, and of all that a listener
 * accepts, whenever the MSS is computed: see leave.h.
 */
static __always_inline void begin(struct bpf_sock_ops *ops)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	int tgid = 0;

	(void)bpf_probe_read_kernel(&tgid, sizeof(tgid), &task->tgid);
	if (tgid && (__u32)tgid == daemon)
		bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags |
						   BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
}

static __always_inline void established(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	__u64 cookie;

	if (!sk || !bpf_sk_storage_get(&owned, sk, 0, 0))
		return;
	cookie = bpf_get_socket_cookie(ops);
	if (bpf_sock_hash_update(ops, &sockets, &cookie, BPF_ANY))
		count(VERDICT_SOCKET_REFUSED);
	else
		count(VERDICT_SOCKET_ADDED);
}

/*
 * The program sees every TCP connection of its cgroup; only the daemon's are touched, so no other
 * program's socket gets a sockmap's behaviour.
 */
SEC("sockops")
int collect(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		begin(ops);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		if (collecting)
			established(ops);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		if (leaving || is_alert(bpf_ktime_get_coarse_ns()))
			leave(ops);
		break;
	default:
		break;
	}
	return 1;
}

/* ---- verdict ---------------------------------------------------------------------------- */

/*
 * Hands the skb up. The store of `passed` and the second load of `forwarded` are the mirror image
 * of what the daemon does (stores forwarded, loads passed): with a full barrier on both sides at
 * least one of the two sees that bytes wait, so none wait unseen.
 */
static __always_inline int pass(struct __sk_buff *skb, struct lane *lane, __u32 index,
				enum verdict_why why)
{
	__u32 len = skb->len;
	__u64 before = __sync_fetch_and_add(&lane->passed, len);

	if (*(volatile __u64 *)&lane->forwarded == before)
		(void)post(lane, index, LANE_EVENT_PASSED, why);
	count(why);
	lane->let_in = let_in_at(lane->active_ns);
	if (has_backlog(skb)) {
		count(VERDICT_BEHIND);
		alert(lane->active_ns);
	} else if (why == VERDICT_HARD) {
		alert(lane->active_ns);
	}
	return SK_PASS;
}

/* The kernel's own view of the skb; the context pointer is the sk_buff itself at run time. */
static __always_inline __u32 skb_seq(struct __sk_buff *skb)
{
	struct sk_buff *raw = (void *)skb;
	__u32 seq = 0;

	(void)bpf_probe_read_kernel(&seq, sizeof(seq), __builtin_preserve_access_index(&raw->cb));
	return seq;
}

static __always_inline __u32 skb_truesize(struct __sk_buff *skb)
{
	struct sk_buff *raw = (void *)skb;
	__u32 size = 0;

	(void)bpf_probe_read_kernel(&size, sizeof(size),
				    __builtin_preserve_access_index(&raw->truesize));
	return size;
}

/* One bpf_skb_adjust_room() call takes at most this many bytes off. */
#define TRIM_STEP  4095
#define TRIM_STEPS 512 /* 2 MiB: more than any skb holds */

struct trim_state {
	struct __sk_buff *skb;
	__u32 cut; /* bytes still to take off */
};

static long trim_step(__u32 i __attribute__((unused)), struct trim_state *st)
{
	__u32 step = st->cut < TRIM_STEP ? st->cut : TRIM_STEP;

	if (!step || bpf_skb_adjust_room(st->skb, -(__s32)step, BPF_ADJ_ROOM_NET, 0))
		return 1;
	st->cut -= step;
	return 0;
}

/* Takes `cut` bytes off the front. Returns 0, or -1 when the kernel refused. */
static __always_inline int trim_front(struct __sk_buff *skb, __u32 cut)
{
	struct trim_state st = {.skb = skb, .cut = cut};

	bpf_loop(TRIM_STEPS, trim_step, &st, 0);
	return st.cut ? -1 : 0;
}

enum trim { TRIM_GO_ON, TRIM_ALL_SEEN, TRIM_GAP };

/*
 * tcp_read_skb() hands over whole skbs whatever part of them was read before: after an overlapping
 * retransmission, or when user space had read half of the first one. Compares the skb's sequence
 * number with the next one expected and cuts off what was seen. A trimmed skb also repairs the
 * kernel's own copied_seq, which it advances by the length that is left.
 */
static __always_inline enum trim trim(struct __sk_buff *skb, struct lane *lane)
{
	struct bpf_sock *sk = skb->sk;
	struct tcp_sock *tp;
	__u32 seq = skb_seq(skb), len = skb->len;
	__s64 cut;

	if (lane->seq_epoch != lane->epoch) {
		tp = sk ? bpf_skc_to_tcp_sock(sk) : 0;
		if (!tp)
			return TRIM_GAP;
		lane->next_seq = tp->copied_seq;
		lane->seq_epoch = lane->epoch;
		if (!is_heard(skb)) {
			count(VERDICT_UNHEARD);
			if (!unheard)
				unheard = 1;
		}
	}

	cut = lane_cut(lane->next_seq, seq, len);
	if (debug_flags & SPLICE_DEBUG_NO_TRIM)
		cut = 0;
	if (cut < 0)
		return TRIM_GAP;
	if (cut > 0) {
		if (trim_front(skb, (__u32)cut))
			return TRIM_GAP;
		lane->trimmed += (__u32)cut < ~lane->trimmed ? (__u32)cut : ~lane->trimmed;
		count(VERDICT_TRIMMED);
		if (cut == len)
			return TRIM_ALL_SEEN;
	}
	lane->next_seq = seq + len;
	return TRIM_GO_ON;
}

static __always_inline void want_pause(struct lane *lane, __u32 index)
{
	if (lane->pause_wanted != lane->pause_seen)
		return;
	/* Before the event, which may be read at once on another CPU. */
	lane->pause_wanted++;
	(void)post(lane, index, LANE_EVENT_PAUSE, VERDICT_REDIRECTED);
}

/* Rules 1 to 5 of the lane protocol for `len` new bytes. */
static __always_inline int forward(struct __sk_buff *skb, struct lane *lane,
				   const struct lane_ref *ref)
{
	__u32 len = skb->len, index = ref->lane, queued, backlog, memory, size;
	__u32 write_seq, snd_nxt;
	__u64 target = ref->target;
	struct tcp_sock *tp;
	struct bpf_sock *sk;
	int hard, runaway;

	sk = bpf_map_lookup_elem(&sockets, &target);
	if (!sk)
		return pass(skb, lane, index, VERDICT_NO_TARGET);
	tp = bpf_skc_to_tcp_sock(sk);
	write_seq = tp ? tp->write_seq : 0;
	snd_nxt = tp ? tp->snd_nxt : 0;
	bpf_sk_release(sk);
	if (!tp)
		return pass(skb, lane, index, VERDICT_NO_TARGET);

	if (lane->passed != lane->forwarded)
		return pass(skb, lane, index, VERDICT_ORDER);
	if (lane_over_limit(lane, len))
		return pass(skb, lane, index, VERDICT_LIMIT);

	queued = lane_queued(lane);
	backlog = lane_backlog(lane, queued, write_seq);
	memory = lane_memory(lane, queued, backlog);
	if (!(debug_flags & SPLICE_DEBUG_NO_MARKS)) {
		hard = lane_above_hard(lane, backlog, memory);
		if (hard || lane_above_high(lane, lane_unsent(lane, queued, snd_nxt), memory))
			want_pause(lane, index);
		runaway = hard && lane_is_runaway(lane, backlog, memory);
		/* Behind the source's own backlog it would stand until the source reads, and would
		 * fill no window. */
		if (hard && (runaway || !may_stop(skb)) && !has_backlog(skb))
			return pass(skb, lane, index, VERDICT_HARD);
		if (hard) {
			count(VERDICT_BEYOND);
			lane->beyond = runaway ? LANE_RUNAWAY : LANE_BEYOND;
			lane->let_in = let_in_at(lane->active_ns);
			alert(lane->active_ns);
		} else if (lane->beyond) {
			lane->beyond = LANE_WITHIN;
		}
	}

	size = skb_truesize(skb);
	lane->mem_new += size;
	lane->redirected += len;
	if (!(++lane->segments % LANE_MANY))
		(void)post(lane, index, LANE_EVENT_MANY, VERDICT_REDIRECTED);
	if (lane->passed + lane->redirected == lane->limit)
		(void)post(lane, index, LANE_EVENT_LIMIT, VERDICT_LIMIT);
	count(VERDICT_REDIRECTED);
	return bpf_sk_redirect_hash(skb, &sockets, &target, 0);
}

SEC("sk_skb/stream_verdict")
int verdict(struct __sk_buff *skb)
{
	struct lane_ref *ref;
	struct lane *lane;
	__u64 cookie;
	__u32 index;

	/*
	 * The FIN alone. RCV_SHUTDOWN is set already, so dropping it loses nothing; passed, it
	 * would wait behind this socket's own backlog and then break it, redirected it breaks the
	 * target.
	 */
	if (skb->len == 0) {
		count(VERDICT_FIN);
		return debug_flags & SPLICE_DEBUG_PASS_FIN ? SK_PASS : SK_DROP;
	}

	cookie = bpf_get_socket_cookie(skb);
	ref = bpf_map_lookup_elem(&lane_of, &cookie);
	if (!ref) {
		count(VERDICT_NO_LANE);
		return SK_PASS;
	}
	index = ref->lane;
	lane = bpf_map_lookup_elem(&lanes, &index);
	if (!lane) {
		count(VERDICT_NO_LANE);
		return SK_PASS;
	}

	switch (trim(skb, lane)) {
	case TRIM_ALL_SEEN:
		count(VERDICT_DUPLICATE);
		return SK_DROP;
	case TRIM_GAP:
		count(VERDICT_GAP);
		(void)post(lane, index, LANE_EVENT_GAP, VERDICT_GAP);
		return SK_DROP;
	case TRIM_GO_ON:
		break;
	}
	lane->active_ns = bpf_ktime_get_coarse_ns();
	return forward(skb, lane, ref);
}

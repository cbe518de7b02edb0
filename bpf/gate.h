/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The gate: a filter of every source, in front of its TCP. It cuts off the payload of segments
 * whose bytes have nowhere to go; TCP sends them again. A window does that better, but it closes
 * only for bytes that are charged to the source's receive buffer, and those that stand behind its
 * own redirect queue are not.
 *
 * A filter runs without the socket's lock, and in front of the queue that its holder keeps: what is
 * there when the gate shuts still comes in, a receive window at most.
 */
#pragma once

/* Whether sockops is called for its source, which can leave then: see leave.h. */
static __always_inline int is_heard(struct __sk_buff *skb)
{
	struct tcp_sock *tp = skb->sk ? bpf_skc_to_tcp_sock(skb->sk) : 0;

	return tp && tp->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
}

/*
 * Whether a source may be deleted with the acknowledgement that is sent within its verdict. The
 * kernel calls saved_data_ready() after that, which is a null pointer then; it looks since 6.8, and
 * since these stable ones.
 */
static __always_inline int may_leave_in_verdict(void)
{
	__u32 version = kernel_version, patch = version & 0xff;

	switch (version >> 8) {
	case 0x0601:
		return patch >= 80;
	case 0x0606:
		return patch >= 19;
	case 0x0607:
		return patch >= 7;
	default:
		return version >= 0x060800;
	}
}

/* Whether it leaves on its own when too much waits for its target. It does not while three holes in
 * what has come leave no room for an option in its acknowledgements (bpf_skops_hdr_opt_len()), nor
 * where the flag is another program's and ours is not attached: LANE_RUNAWAY is for that. */
static __always_inline int may_stop(struct __sk_buff *skb)
{
	return may_leave_in_verdict() && !(debug_flags & SPLICE_DEBUG_NO_STOP) && is_heard(skb);
}

/* The flags that a socket's sk_user_data carries in its lowest bits. */
#define USER_DATA_FLAGS 7UL

/* Of the socket itself; 0: it is in no map. To be read with bpf_probe_read_kernel(). */
static __always_inline struct sk_psock *psock_of(struct __sk_buff *skb)
{
	struct tcp_sock *tp = skb->sk ? bpf_skc_to_tcp_sock(skb->sk) : 0;

	if (!tp)
		return 0;
	return (void *)((unsigned long)((struct sock *)tp)->sk_user_data & ~USER_DATA_FLAGS);
}

/*
 * Whether what was redirected to this source still waits for its worker. A segment that is passed
 * then is queued behind it: it cannot be read before the source's peer reads, and TCP charges
 * nobody for it. And the worker charges the socket's memory for it without the socket's lock: an
 * update may get lost, and TCP's account of memory with it. So it is avoided where it can be, and
 * counted.
 */
static __always_inline int has_backlog(struct __sk_buff *skb)
{
	struct sk_psock *psock = psock_of(skb);
	__u32 n = 0;

	(void)bpf_probe_read_kernel(&n, sizeof(n),
				    __builtin_preserve_access_index(&psock->ingress_skb.qlen));
	return n != 0;
}

/* Whether that stands: the worker has met a full write queue (sk_psock_backlog() keeps the rest of
 * the segment in `work_state` until there is room). Between two of its turns there is a backlog,
 * too, in sessions that are busy both ways. */
static __always_inline int stands(struct sk_psock *psock)
{
	__u32 rest = 0;

	(void)bpf_probe_read_kernel(&rest, sizeof(rest),
				    __builtin_preserve_access_index(&psock->work_state.len));
	return rest != 0;
}

/* Whether its segments meet the verdict program: it is in `engaged` (sk_psock_start_verdict()). */
static __always_inline int is_engaged(struct sk_psock *psock)
{
	void *ready = 0;

	(void)bpf_probe_read_kernel(&ready, sizeof(ready),
				    __builtin_preserve_access_index(&psock->saved_data_ready));
	return ready != 0;
}

/* So long after the last of what the gate is for, no segment is looked at any more. */
#define ALERT_NS 8000000000ULL

/* When bytes were last handed up, or redirected, in a way that may need the gate or makes sources
 * leave; or it refused some, or the daemon could not read some of them (monotonic ns). Not stored
 * more often than it must be: every processor reads it. */
volatile __u64 alert_ns = 0;

static __always_inline void alert(__u64 now)
{
	if ((__s64)(now - alert_ns) > (__s64)(ALERT_NS / 8))
		alert_ns = now;
}

static __always_inline int is_alert(__u64 now)
{
	return (__s64)(now - alert_ns) <= (__s64)ALERT_NS;
}

/* The unit of `let_in`, 67 ms; and how long the gate refuses all, 4 s. Then one segment comes in,
 * so that the sender's TCP sees that its peer is alive: by default it gives up after 15 minutes,
 * others sooner. */
#define LET_IN_SHIFT 26
#define LET_IN_AFTER 60
#define LET_IN_AHEAD 0xfff0 /* from here on the other processor's clock was ahead */

static __always_inline __u16 let_in_at(__u64 now)
{
	return (__u16)(now >> LET_IN_SHIFT);
}

/*
 * While its own backlog stands, the gate is shut when bytes of the source wait in user space, so
 * that more of them would be handed up and stand behind that: until the daemon has read those that
 * wait. Or when more was redirected than splice_hard, and the source does not leave on its own:
 * until the daemon has paused it. Or, whatever stands, when the daemon says so, until the source
 * has left the map.
 */
static __always_inline int is_shut(struct __sk_buff *skb, struct lane *lane)
{
	struct sk_psock *psock;

	if (lane->passed == lane->forwarded &&
	    (!lane->beyond || lane->pause_wanted == lane->pause_seen ||
	     (lane->beyond != LANE_RUNAWAY && may_stop(skb))))
		return 0;
	psock = psock_of(skb);
	return (lane->shut || stands(psock)) && is_engaged(psock);
}

/* Where TCP's header has its length, in words, in the upper half of a byte; behind it the flags. */
#define DATA_OFFSET 12
#define TCP_FIN     0x01
#define TCP_SYN     0x02
#define TCP_URG     0x20

/* Bytes to keep. No less than TCP's header is ever kept (sk_filter_trim_cap()). */
#define ALL_OF_IT  0x7fffffff
#define ITS_HEADER 1
#define NONE_OF_IT 0

/* Whether nobody has looked at its checksum yet (CHECKSUM_NONE): that cannot be done without its
 * payload, and TCP's header prediction takes an empty segment as it is. */
static __always_inline int is_unchecked(struct __sk_buff *skb)
{
	struct sk_buff *raw = (void *)skb;

	return BPF_CORE_READ_BITFIELD_PROBED(raw, ip_summed) == 0;
}

/* Asked in tcp_v4_rcv() and tcp_v6_rcv(), with TCP's header at the front of the data. What it
 * acknowledges is taken; not so with an end or an urgent mark, which belong behind its bytes. */
SEC("socket")
int gate(struct __sk_buff *skb)
{
	__u64 now = bpf_ktime_get_coarse_ns(), cookie;
	__u8 header[2] = {};
	struct lane_ref *ref;
	struct lane *lane;
	__u16 waited;
	__u32 index;

	if (debug_flags & SPLICE_DEBUG_NO_GATE || !is_alert(now))
		return ALL_OF_IT;
	if (bpf_skb_load_bytes(skb, DATA_OFFSET, header, sizeof(header)) ||
	    skb->len <= (header[0] >> 4) * 4U)
		return ALL_OF_IT;
	cookie = bpf_get_socket_cookie(skb);
	ref = bpf_map_lookup_elem(&lane_of, &cookie);
	if (!ref)
		return ALL_OF_IT;
	index = ref->lane;
	lane = bpf_map_lookup_elem(&lanes, &index);
	if (!lane || !is_shut(skb, lane))
		return ALL_OF_IT;
	waited = let_in_at(now) - lane->let_in;
	if (waited >= LET_IN_AFTER && waited < LET_IN_AHEAD) {
		lane->let_in = let_in_at(now);
		return ALL_OF_IT;
	}
	alert(now);
	count(VERDICT_REFUSED);
	if (header[1] & (TCP_FIN | TCP_SYN | TCP_URG) || is_unchecked(skb))
		return NONE_OF_IT;
	return ITS_HEADER;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a source leaves `engaged`. Deleted by a system call it could meet a verdict that runs at that
 * moment on another processor, which then finds no program and drops its segment. In sockops, when
 * it is asked for a segment that is sent, the socket's lock is held. No verdict runs, or one is
 * taking the last segment of the receive queue, and `passed` stands still.
 *
 * A source that has bytes in user space, or whose FIN has come, stays: those bytes can be read only
 * in the map, and it could not be put back.
 */
#pragma once

/* Everything that was received was read, or redirected. */
static __always_inline int is_all_read(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : 0;

	return tp && tp->copied_seq == tp->rcv_nxt;
}

/*
 * At the daemon's request. Either it has sent zero bytes, so that tcp_sendmsg() computes the MSS.
 * Or it is reading what was handed up (tcp_bpf_recvmsg_parser()): then this is the acknowledgement
 * that opens the receive window, and a sender on this host would have filled it again before the
 * read returns.
 */
static __always_inline void leave_as_asked(struct bpf_sock_ops *ops, struct lane *lane,
					   __u64 cookie, __u16 wanted)
{
	int in_send = ops->args[0] == BPF_WRITE_HDR_TCP_CURRENT_MSS, ready;
	__u64 taken = lane->taken;

	if (!in_send && (taken != LANE_ALL_READ || !may_leave_in_verdict()))
		return;
	ready = taken == LANE_ALL_READ ? is_all_read(ops) : lane->passed == taken;
	if (lane->beyond != LANE_STOPPED && (ops->state != BPF_TCP_ESTABLISHED || !ready ||
					     bpf_map_delete_elem(&engaged, &cookie))) {
		count(VERDICT_NOT_LEFT);
		return;
	}
	lane->left = wanted;
	count(VERDICT_LEFT);
}

/*
 * On its own, since more than `hard` waits for its target, and the daemon has not paused it in
 * time: from now on its bytes wait in its receive queue, and its window closes. What opens that for
 * more is an acknowledgement, so there is one to ask us for before more than a window has come.
 */
static __always_inline void stop(struct bpf_sock_ops *ops, struct lane *lane, __u64 cookie,
				 __u32 index)
{
	if (ops->state != BPF_TCP_ESTABLISHED || lane->passed != lane->forwarded ||
	    !is_all_read(ops) || bpf_map_delete_elem(&engaged, &cookie))
		return;
	lane->beyond = LANE_STOPPED;
	count(VERDICT_STOPPED);
	/* Whatever pause was asked for before: the daemon may have found that it needs none. */
	lane->pause_wanted++;
	(void)post(lane, index, LANE_EVENT_PAUSE, VERDICT_BEYOND);
}

static __always_inline void leave(struct bpf_sock_ops *ops)
{
	__u64 cookie = bpf_get_socket_cookie(ops);
	struct lane_ref *ref = bpf_map_lookup_elem(&lane_of, &cookie);
	struct lane *lane;
	__u16 wanted;
	__u32 index;

	if (!ref)
		return;
	index = ref->lane;
	lane = bpf_map_lookup_elem(&lanes, &index);
	if (!lane)
		return;
	/* Once: the daemon may withdraw it at this moment, and must find that it was done. */
	wanted = *(volatile __u16 *)&lane->leave;
	if (wanted != lane->left)
		leave_as_asked(ops, lane, cookie, wanted);
	else if ((lane->beyond == LANE_BEYOND || lane->beyond == LANE_RUNAWAY) &&
		 may_leave_in_verdict() && !(debug_flags & SPLICE_DEBUG_NO_STOP))
		stop(ops, lane, cookie, index);
}

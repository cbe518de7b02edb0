/* SPDX-License-Identifier: GPL-2.0-only */
/* What an application sends goes into the other one's queue. */
#ifndef BYPASS_SEND_H
#define BYPASS_SEND_H

#include "bypass-memory.h"
#include "bypass-way.h"

/* How long a send waits for the daemon to catch up, in CARRIES. */
#define SPIN_NS    50000
#define SPIN_STEPS (1 << 16)
/* After a wait in vain so many sends do without, then twice as many. */
#define SPINS_MAX      64
#define TCP_NAGLE_CORK 2
/* A source whose last tokens were late, so many of them, is better off with TCP. */
#define LATES_MAX 2
/*
 * Each message costs its sender and its reader something, where TCP puts small ones together: a
 * bulk of them is better off with that, and the daemon between. Each BULK_CHECK messages are looked
 * at. They are a bulk if they are smaller than BULK_SMALL on the average (for an outlet, where each
 * makes a segment of its own, BULK_SMALL_OUTSIDE), came faster than 20 000 a second, and next to
 * nothing came the other way: no request is among them that an answer is waited for. After
 * BULK_TIMES such looks in a row the way is left. On processors that are busy with it messages of
 * these sizes are faster by TCP; on idle ones larger ones are, too.
 */
#define BULK_CHECK         4096
#define BULK_TIMES         4
#define BULK_SMALL         2048
#define BULK_SMALL_OUTSIDE 6144
#define BULK_TIME          200 /* in 2^20 ns */
#define BULK_BACK          (BULK_CHECK / 128)

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

/* Why the source can go the way no longer; 0: it can. */
static __always_inline enum way_why obstacle_of(const struct way *way, struct tcp_sock *tp)
{
	struct inet_connection_sock *icsk = (void *)tp;
	struct sock *sk = (void *)tp;

	if (way->leave)
		return way->leave;
	if (way->bulk_times >= BULK_TIMES)
		return WAY_SMALL;
	if (icsk->icsk_ulp_ops)
		return WAY_TLS;
	if (sk->__sk_common.skc_flags >> bpf_core_enum_value(enum sock_flags, SOCK_ZEROCOPY) & 1)
		return WAY_ZEROCOPY;
	return WAY_NOT_LEFT;
}

/* Whether the target is another socket by now, in no map any more, or shut down in that way. */
static __always_inline int is_gone(const struct way *way, __u64 target, unsigned char how)
{
	__u64 cookie = 0, psock = 0;
	unsigned char shut = 0;

	if (!target)
		return 1;
	(void)READ(cookie, target, struct sock, __sk_common.skc_cookie);
	(void)READ(psock, target, struct sock, sk_user_data);
	(void)READ(shut, target, struct sock, sk_shutdown);
	return cookie != way->target || !psock || shut & how;
}

/* Why the way cannot be gone any longer; 0: it can. */
static __always_inline enum way_why obstacle(const struct way *way, struct tcp_sock *tp,
					     __u64 target)
{
	enum way_why why = obstacle_of(way, tp);
	__u64 ulp = 0;

	if (why)
		return why;
	if (is_gone(way, target, RCV_SHUTDOWN))
		return WAY_TARGET_GONE;
	(void)READ(ulp, target, struct inet_connection_sock, icsk_ulp_ops);
	return ulp ? WAY_TLS : WAY_NOT_LEFT;
}

/* Whether the source, or a target with so much unread, may be refused memory for a message, which
 * takes so much `there`. */
static __always_inline int is_short(const struct tcp_sock *tp, __u64 target, __u32 size,
				    __u32 there, __u32 queued)
{
	return is_tcp_short((const struct sock *)tp) || is_cgroup_short(target, there, queued) ||
	       is_cgroup_short((__u64)tp, size + BYPASS_TOKEN, 0);
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
	/* The session may have ended. */
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

/* A token would stand there: it is less than a segment of loopback's. */
static __always_inline int is_corked(struct tcp_sock *tp)
{
	return BPF_CORE_READ_BITFIELD_PROBED(tp, nonagle) & TCP_NAGLE_CORK;
}

static __always_inline void sign(struct sk_msg_md *msg, const struct way *way)
{
	__u64 *data = (void *)(long)msg->data;

	if ((void *)(data + 1) <= (void *)(long)msg->data_end)
		*data = way->nonce;
}

/*
 * Makes room for a token in a message that has as many pieces as there can be, one of its first
 * two. Without room bpf_msg_push_data() would make one piece of the token and the first, and what
 * is sent of a piece but not all of it goes out with MSG_MORE: it would stand, as in a corked
 * socket, until a timer of TCP's, 200 ms. A negative errno: there are no pages for it.
 */
static __always_inline int make_room(struct sk_msg_md *msg)
{
	struct sk_msg *raw = (void *)msg;
	__u32 start = 0, end = 0, first = 0;

	(void)bpf_probe_read_kernel(&start, sizeof(start),
				    __builtin_preserve_access_index(&raw->sg.start));
	(void)bpf_probe_read_kernel(&end, sizeof(end),
				    __builtin_preserve_access_index(&raw->sg.end));
	if (start ||
	    end < bpf_core_field_size(raw->sg.data) / bpf_core_type_size(struct scatterlist) - 2)
		return 0;
	(void)bpf_probe_read_kernel(&first, sizeof(first),
				    __builtin_preserve_access_index(&raw->sg.data[0].length));
	return (int)bpf_msg_pull_data(msg, 0, first + 1, 0);
}

enum held { HOLD_NEEDLESS, HOLD_TOKEN, HOLD_FAILED };

/* The source can still send: a token in its TCP has its next send wait. It takes pages that are
 * next to each other, and more of them for a message in many pieces: there may be none. */
static __always_inline enum held hold(struct sk_msg_md *msg, struct way *way, struct tcp_sock *tp,
				      __u32 queued)
{
	struct sock *sk = (void *)tp;
	__s32 room = (__s32)(tp->snd_una + tp->snd_wnd - tp->write_seq);

	if (tp->write_seq - tp->snd_nxt >= tp->notsent_lowat || sk->sk_wmem_queued >= sk->sk_sndbuf)
		return HOLD_NEEDLESS;
	way->rest = queued / 2 < way->low ? queued / 2 : way->low;
	if (room < BYPASS_TOKEN)
		way->full = 1;
	if (make_room(msg) || bpf_msg_push_data(msg, 0, BYPASS_TOKEN, 0))
		return HOLD_FAILED;
	way->token_ns = room < BYPASS_TOKEN ? 0 : bpf_ktime_get_coarse_ns();
	sign(msg, way);
	bpf_msg_apply_bytes(msg, BYPASS_TOKEN);
	way->held++;
	return HOLD_TOKEN;
}

/* Why a way that is direct cannot stop its source; 0: it can. */
static __always_inline enum way_why obstacle_of_tokens(const struct way *way, struct tcp_sock *tp,
						       __u32 at, int over)
{
	/* Some of a token was not taken, and data was instead: see is_one_segment(). */
	if (at - way->tokens_from != way->held * BYPASS_TOKEN)
		return WAY_CORRUPT;
	if (over && (!is_one_segment(tp) || is_corked(tp) || way->lates >= LATES_MAX))
		return WAY_SEGMENTS;
	/* Undone by the application. */
	return tp->notsent_lowat ? WAY_NOT_LEFT : WAY_OWN_LOWAT;
}

/* Of the messages since it was looked at last: whether they are a bulk of small ones. */
static __always_inline void weigh(struct way *way, const struct tcp_sock *tp, __u32 index,
				  __u32 small)
{
	__u32 other = index ^ 1, back = tp->data_segs_in;
	__u32 bytes = (__u32)(way->direct_bytes >> 10), time = (__u32)(way->active_ns >> 20);
	const struct way *opposite = bpf_map_lookup_elem(&ways, &other);

	if (opposite)
		back += (__u32)opposite->direct_messages;
	if (bytes - way->bulk_bytes < BULK_CHECK / 1024 * small &&
	    time - way->bulk_time < BULK_TIME && back - way->bulk_back < BULK_BACK)
		way->bulk_times++;
	else
		way->bulk_times = 0;
	way->bulk_bytes = bytes;
	way->bulk_time = time;
	way->bulk_back = back;
}

/* A message was put where it is to go. */
static __always_inline void count(struct way *way, const struct tcp_sock *tp, __u32 index,
				  __u32 size, __u32 small)
{
	way->direct_bytes += size;
	way->direct_messages++;
	way->active_ns = bpf_ktime_get_coarse_ns();
	if (!(way->direct_messages % BULK_CHECK))
		weigh(way, tp, index, small);
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
	if (is_short(tp, target, size, size, queued))
		return leave(way, at, WAY_MEMORY);
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
	why = obstacle_of_tokens(way, tp, at, over);
	if (why)
		return leave(way, at, why);
	if (over) {
		enum held held = hold(msg, way, tp, queued);

		if (held == HOLD_TOKEN)
			return SK_PASS;
		if (held == HOLD_FAILED)
			return leave(way, at, WAY_MEMORY);
	}
	key = way->target;
	if (bpf_msg_redirect_hash(msg, &joined, &key, BPF_F_INGRESS) != SK_PASS)
		return leave(way, at, WAY_REFUSED);
	count(way, tp, index, size, BULK_SMALL);
	return SK_PASS;
}

#endif

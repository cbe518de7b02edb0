/* SPDX-License-Identifier: GPL-2.0-only */
/* What an application sends goes into the TCP of a socket of the daemon's. */
#ifndef BYPASS_OUTLET_H
#define BYPASS_OUTLET_H

#include "bypass-send.h"

/*
 * The memory of an empty segment in a write queue, and how many more of them a message may bring
 * than its bytes fill: at its begin and end, and of a larger one where TCP cuts a segment
 * meanwhile, which it sends, or one has as many pieces as there can be.
 */
#define SEGMENT_HEAD   2304
#define SEGMENTS_MORE  2
#define SEGMENTS_MOST  6
#define SEGMENTS_SHARE 4096
#define GOAL_MIN       256
/* By how much a message that is smaller lowers what is expected. */
#define MOST_SHARE 16
/* A way carries data until there is room for all that may come before its source stops. After so
 * many sends for which the write queue would have none if it were empty (it grows with what its TCP
 * has under way), it is left: without it, the session may go to the kernel. */
#define CRAMPED_MOST 256
/* Tokens that the window of the daemon's socket may take, all in all, and one. */
#define TOKENS_MOST 6

/* Of an outlet. */
struct outlet_state {
	__u32 unsent; /* bytes that its TCP has not sent yet */
	__s32 whole;  /* memory that its write queue may take */
	__s32 room;   /* ... and still may */
	__s32 taken;  /* ... and would be taken, without a word of failure: see outlet_whole() */
	__u32 goal;   /* bytes of a segment there, at least: see is_one_segment() */
};

/* The most memory that so many bytes take there. */
static __always_inline __s32 need_of(const struct outlet_state *o, __u32 size)
{
	__u32 more = size / SEGMENTS_SHARE;

	more = SEGMENTS_MORE + (more < SEGMENTS_MOST ? more : SEGMENTS_MOST);
	return (__s32)(size + (size / o->goal + more) * SEGMENT_HEAD);
}

/*
 * How many messages may come before the source is stopped for good: a token stops it for as long as
 * some of it is unsent, and the window takes these.
 */
static __always_inline __s32 messages_before_stop(const struct tcp_sock *tp)
{
	__s32 room = (__s32)(tp->snd_una + tp->snd_wnd - tp->write_seq);

	return room > 0 ? 1 + (__s32)((__u32)room / BYPASS_TOKEN) : 1;
}

static __always_inline void read_outlet(const struct way *way, __u64 target, struct outlet_state *o)
{
	__u32 next = 0, written = 0, mss = 0, window = 0, most = 0;
	int wmem = 0, sndbuf = 0;
	__u16 segments = 0;

	(void)READ(wmem, target, struct sock, sk_wmem_queued);
	(void)READ(sndbuf, target, struct sock, sk_sndbuf);
	(void)READ(most, target, struct sock, sk_gso_max_size);
	(void)READ(segments, target, struct sock, sk_gso_max_segs);
	(void)READ(mss, target, struct tcp_sock, mss_cache);
	(void)READ(window, target, struct tcp_sock, max_window);
	(void)READ(next, target, struct tcp_sock, snd_nxt);
	(void)READ(written, target, struct tcp_sock, write_seq);
	o->unsent = written - next;
	o->whole = outlet_whole(way, sndbuf);
	o->room = o->whole - wmem;
	o->taken = sndbuf - wmem;
	if (most > window / 2)
		most = window / 2;
	if (most > segments * mss)
		most = segments * mss;
	/* Half of what fills them is in them: they are cut at the ends of others. */
	o->goal = most / 2 > mss ? most / 2 : mss;
	if (o->goal < GOAL_MIN)
		o->goal = GOAL_MIN;
}

/*
 * A send that finds no room in the outlet's TCP would fail with EAGAIN, or be told of a part, while
 * the source polls as writable, and nobody would tell it when there is room. So a message goes
 * there only as a whole; and the source is stopped when there would be no room for others, as many
 * as may come before it is, or when enough is unsent.
 */
static __always_inline int go_outside(struct sk_msg_md *msg, struct way *way, __u32 index,
				      __u32 size)
{
	struct bpf_sock *sk = msg->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : 0;
	struct outlet_state o;
	__u64 target, key;
	enum held held;
	enum way_why why;
	__u32 at;
	__s32 need, most, all;
	int over;

	if (!tp)
		return SK_PASS;
	at = tp->write_seq - way->base;
	target = aim_at(way, index);
	why = obstacle_of(way, tp);
	if (why)
		return leave(way, at, why);
	/* A reset sets both. */
	if (is_gone(way, target, SEND_SHUTDOWN))
		return leave(way, at, WAY_TARGET_GONE);
	read_outlet(way, target, &o);
	need = need_of(&o, size);
	if (is_short(tp, target, size, (__u32)need, o.unsent))
		return leave(way, at, WAY_MEMORY);
	if (tp->notsent_lowat > BYPASS_TOKEN)
		return leave(way, at, WAY_OWN_LOWAT);
	way->most = size > way->most ? size : way->most - way->most / MOST_SHARE;
	most = need_of(&o, way->most);
	all = need + most * messages_before_stop(tp);
	if (way->phase == WAY_CARRIES) {
		if (o.whole < all && way->cramped++ >= CRAMPED_MOST)
			return leave(way, at, WAY_FULL);
		/* However much is unsent: what the daemon has put there, it has. */
		if (o.room < all || !has_caught_up(way, tp, at, 0) || !tp->notsent_lowat)
			return SK_PASS;
		way->tokens_from = at;
		enter(way, WAY_DIRECT);
	}
	over = o.unsent > way->high || o.room < all;
	why = obstacle_of_tokens(way, tp, at, over);
	if (why)
		return leave(way, at, why);
	if (over) {
		if (o.taken < need)
			return leave(way, at, WAY_FULL);
		if (!way->trusts && file_of((__u64)tp) == 1)
			return leave(way, at, WAY_BLOCKING);
		way->need = (__u32)(TOKENS_MOST * most);
		held = hold(msg, way, tp, o.unsent);
		if (held == HOLD_TOKEN)
			return SK_PASS;
		if (held == HOLD_FAILED)
			return leave(way, at, WAY_MEMORY);
	}
	key = way->target;
	if (bpf_msg_redirect_hash(msg, &outlet, &key, 0) != SK_PASS)
		return leave(way, at, WAY_REFUSED);
	count(way, tp, index, size, BULK_SMALL_OUTSIDE);
	return SK_PASS;
}

#endif

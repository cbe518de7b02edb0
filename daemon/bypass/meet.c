// SPDX-License-Identifier: GPL-2.0-or-later
#include "meet.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "../buffers.h"
#include "../splice/adopt.h"
#include "../splice/byhand.h"
#include "../splice/copy.h"
#include "../splice/drain.h"
#include "../stats.h"
#include "../util.h"
#include "direct.h"
#include "maps.h"
#include "outlet.h"

/* Nothing is copied for so long, so that the applications can read what they have. */
#define HOLD_NS      (3 * NSEC_PER_MSEC) /* doubled with each try */
#define HOLD_MIN_NS  (50 * NSEC_PER_USEC)
#define TRY_AGAIN_NS (20 * NSEC_PER_MSEC)
#define TRIES_MAX    8
#define HOLD_DOUBLED 3U
/* Looks that found an application that is not ready. */
#define LATER_MAX 64
/* The time until the next look at one that blocks, though it has read or written: doubled with
 * each, for some connect, or shake hands, before they set O_NONBLOCK. 0.6 s in all. */
#define BLOCKS_NS   (10 * NSEC_PER_MSEC)
#define BLOCKS_MAX  6
#define UNKNOWN_MAX 4

enum chance { CHANCE_NOW, CHANCE_HOLD, CHANCE_LATER, CHANCE_BLOCKS, CHANCE_NEVER };

static enum chance never(struct bypass *b, enum way_why why)
{
	b->why = why;
	return CHANCE_NEVER;
}

/* ---- who they are -------------------------------------------------------------------------- */

/* The application at the other end of the stream's source. */
static enum chance find_app(struct bypass *b, enum direction d)
{
	struct bypass_stream *side = &b->sides[d];
	const struct stream *s = side->stream;
	const struct bypass_maps *m = b->splice->by->bypass;
	/* It is the target of the other direction. */
	uint32_t way = b->sides[d == UP ? DOWN : UP].index; /* see find_one(), too */

	if (side->app)
		return CHANCE_NOW;
	/* One that is not marked was made for somebody else. */
	if (bypass_handshake(m, s->source->fd, &b->ours[d]) < 0)
		return never(b, WAY_NOT_LOCAL);
	if (bypass_find(m, &b->ours[d], way, &side->app) == 0)
		return CHANCE_NOW;
	side->app = 0;
	/* A client's is established before this one; a server's when it has an acknowledgement. */
	if (d == UP || s->source->received || b->laters >= UNKNOWN_MAX)
		return never(b, WAY_NOT_LOCAL);
	return CHANCE_LATER;
}

static enum direction other(enum direction d)
{
	return d == UP ? DOWN : UP;
}

/* The daemon's own socket at the other side is the target of its way. It is that of the other way,
 * by which it is looked at. */
static enum chance find_one(struct bypass *b)
{
	struct bypass_stream *side = &b->sides[b->from];
	struct conn *out = b->splice->streams[b->from].target;
	socklen_t len = sizeof(out->cookie);
	enum chance c = find_app(b, b->from);
	uint64_t nonce;

	if (c != CHANCE_NOW || side->way->target)
		return c;
	if (getrandom(&nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce) ||
	    getsockopt(out->fd, SOL_SOCKET, SO_COOKIE, &out->cookie, &len) < 0)
		return never(b, WAY_REFUSED);
	bypass_way_set(side->way, &(const struct way){
				      .source = side->app,
				      .target = out->cookie,
				      .base = b->ours[b->from].received,
				      .outlet = 1,
				      .trusts = b->splice->settings->bypass_trusts_all,
				      .nonce = nonce,
				  });
	bypass_way_set(b->sides[other(b->from)].way, &(const struct way){.target = side->app});
	return CHANCE_NOW;
}

static enum chance find_both(struct bypass *b)
{
	enum chance up = find_app(b, UP), down;
	uint64_t nonces[2];

	if (up != CHANCE_NOW)
		return up;
	down = find_app(b, DOWN);
	if (down != CHANCE_NOW || b->sides[UP].way->target)
		return down;
	if (getrandom(nonces, sizeof(nonces), 0) != (ssize_t)sizeof(nonces))
		return never(b, WAY_REFUSED);
	for (int d = UP; d <= DOWN; d++) {
		const struct way way = {
		    .source = b->sides[d].app,
		    .target = b->sides[d == UP ? DOWN : UP].app,
		    .base = b->ours[d].received,
		    .nonce = nonces[d],
		};

		bypass_way_set(b->sides[d].way, &way);
	}
	return CHANCE_NOW;
}

static enum chance find(struct bypass *b)
{
	return b->alone ? find_one(b) : find_both(b);
}

bool bypass_know(struct bypass *b)
{
	return find(b) != CHANCE_NEVER;
}

/* ---- whether they can be joined now -------------------------------------------------------- */

/* What was just seen of the target of one direction. */
static enum chance judge(struct bypass *b, enum direction d)
{
	const struct stream *s = b->sides[d].stream;
	const struct way *way = b->sides[d].way;
	/* Of the socket that writes to the target. */
	const struct handshake *ours = &b->ours[d == UP ? DOWN : UP];
	bool active;

	if (!way->there)
		return never(b, WAY_TARGET_GONE);
	if (way->state != TCP_ESTABLISHED || way->deaf)
		return never(b, WAY_HALF_CLOSED);
	if (way->unfit)
		return never(b, (enum way_why)way->unfit);
	active = way->written != ours->received || way->received - way->unread != ours->sent;
	if (!s->splice->settings->bypass_trusts_all && (way->file != 2 || !active)) {
		/* Until it has read or written, it may still be about to set it, or to take it back
		 * after a connect() that should not block. */
		return way->file == 1 && active ? CHANCE_BLOCKS : CHANCE_LATER;
	}
	/* What comes for one that is alone comes by TCP for ever. What it sends goes into the
	 * target's TCP, and nothing that the kernel still has for that may come behind it. */
	if (b->alone)
		return stream_is_drained(&b->splice->streams[b->from]) ? CHANCE_NOW : CHANCE_LATER;
	if (way->unread || way->received != ours->sent + (uint32_t)s->target->sent)
		return CHANCE_HOLD;
	return CHANCE_NOW;
}

static enum chance look_at_both(struct bypass *b)
{
	const uint32_t ways[2] = {b->sides[UP].index, b->sides[DOWN].index};
	const struct splicer *by = b->splice->by;
	enum chance up, down;

	if (bypass_peek(by->bypass, by->index, ways, 2) < 0)
		return CHANCE_LATER;
	up = judge(b, UP);
	if (up == CHANCE_NEVER)
		return up;
	down = judge(b, DOWN);
	return MAX(up, down);
}

static enum chance look_at_one(struct bypass *b)
{
	const struct splicer *by = b->splice->by;
	enum direction to = other(b->from);

	if (bypass_peek(by->bypass, by->index, &b->sides[to].index, 1) < 0)
		return CHANCE_LATER;
	return judge(b, to);
}

static enum chance chance_of(struct bypass *b)
{
	const struct stream *streams = b->splice->streams;
	enum chance c;

	for (int d = UP; d <= DOWN; d++)
		if (streams[d].state != STREAM_COPY || streams[d].source->fin_seen ||
		    streams[d].source->failed)
			return never(b, b->blocks ? WAY_BLOCKING : WAY_HALF_CLOSED);
	if (splicer_is_short(b->splice->by))
		return never(b, WAY_MEMORY);
	c = find(b);
	if (c != CHANCE_NOW)
		return c;
	return b->alone ? look_at_one(b) : look_at_both(b);
}

/* ---- joining ------------------------------------------------------------------------------- */

static int add_own(const struct bypass *b, const struct stream *s)
{
	const struct bypass_maps *m = b->splice->by->bypass;
	struct conn *c = s->target;
	/* The application that this socket is connected to is the source of the other stream. */
	const struct bypass_ref ref = {
	    .target = b->sides[stream_direction(s) == UP ? DOWN : UP].app,
	    .role = BYPASS_ROLE_INJECT,
	};
	socklen_t len = sizeof(c->cookie);
	int err;

	if (getsockopt(c->fd, SOL_SOCKET, SO_COOKIE, &c->cookie, &len) < 0)
		return -errno;
	err = bypass_join_socket(m, c->cookie, c->fd);
	return err ? err : bypass_ref_set(m, c->cookie, &ref);
}

static int open_way(const struct bypass *b, const struct bypass_stream *side)
{
	const struct stream *s = side->stream;
	const struct splice_settings *c = s->splice->settings;
	const struct bypass_ref ref = {.way = side->index, .role = BYPASS_ROLE_SOURCE};
	struct way *way = side->way;

	way->high = way->outlet ? OUTLET_HIGH : (uint32_t)c->bypass_high;
	way->low = way->outlet ? OUTLET_LOW : (uint32_t)c->bypass_low;
	way->messages = c->bypass_messages;
	way->forwarded = (uint32_t)(s->source->received - s->pending_len);
	return bypass_ref_set(b->splice->by->bypass, side->app, &ref);
}

/* The daemon's own sockets before the ways: from then on what it sends does not go over TCP. The
 * ways are turned on when nothing can fail any more: an application sends at any moment. */
static int join_both(struct bypass *b)
{
	const uint32_t ways[2] = {b->sides[UP].index, b->sides[DOWN].index};
	struct splice *sp = b->splice;
	int err = bypass_admit(sp->by->bypass, ways);

	for (int d = UP; !err && d <= DOWN; d++)
		err = add_own(b, &sp->streams[d]);
	for (int d = UP; !err && d <= DOWN; d++)
		err = open_way(b, &b->sides[d]);
	for (int d = UP; !err && d <= DOWN; d++)
		__atomic_store_n(&b->sides[d].way->on, 1, __ATOMIC_RELEASE);
	return err;
}

static int join_one(struct bypass *b)
{
	struct bypass_stream *side = &b->sides[b->from];
	const struct bypass_maps *m = b->splice->by->bypass;
	struct conn *out = b->splice->streams[b->from].target;
	int most = INT32_MAX, err;

	/* Whatever the system's is: what the program puts there is taken as long as there is room.
	 */
	if (setsockopt(out->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most, sizeof(most)) < 0)
		return -errno;
	buffers_outlet(out, true);
	side->way->memory = out->share;
	err = bypass_admit_alone(m, b->sides[other(b->from)].index, side->index, out->cookie,
				 out->fd);
	if (!err)
		err = open_way(b, side);
	if (!err)
		__atomic_store_n(&side->way->on, 1, __ATOMIC_RELEASE);
	return err;
}

static int join(struct bypass *b)
{
	return b->alone ? join_one(b) : join_both(b);
}

/* Takes back what join() has done: no way was on. */
static void unjoin(struct bypass *b)
{
	const struct bypass_maps *m = b->splice->by->bypass;

	if (b->alone) {
		outlet_undo(&b->splice->streams[b->from]);
		(void)bypass_part_outlet(m, b->splice->streams[b->from].target->cookie);
		return;
	}
	for (int d = UP; d <= DOWN; d++) {
		struct conn *c = b->splice->streams[d].target;

		if (c->cookie) {
			(void)bypass_part_socket(m, c->cookie);
			(void)bypass_ref_clear(m, c->cookie);
		}
	}
}

static void joined(struct bypass *b)
{
	struct splice *sp = b->splice;

	b->joined = true;
	stat_inc(&sp->by->stats->sessions_bypass);
	for (int d = UP; d <= DOWN; d++) {
		struct stream *s = &sp->streams[d];

		s->why_copy = COPY_NONE;
		stream_again(s);
		if (b->alone && (enum direction)d != b->from) {
			/* The application's send may be told of a reset in the daemon's stead. */
			s->doubted = true;
			s->hand = &engine_copy;
			bypass_enter(&b->sides[d], BYPASS_OVER);
			stream_adopt(s);
			continue;
		}
		s->bypass = &b->sides[d];
		s->way = b->sides[d].way;
		s->hand = &engine_bypass;
		bypass_enter(&b->sides[d], BYPASS_CARRYING);
	}
}

void bypass_refuse(struct bypass *b, enum way_why why)
{
	const struct bypass_ref none = {.role = BYPASS_ROLE_NONE};
	struct splice *sp = b->splice;

	b->why = why;
	b->held_since = 0;
	loop_timer_cancel(sp->by->loop, &b->timer);
	for (int d = UP; d <= DOWN; d++) {
		struct bypass_stream *side = &b->sides[d];

		sp->streams[d].hand = &engine_copy;
		bypass_enter(side, BYPASS_OVER);
		if (b->alone && (enum direction)d != b->from)
			continue;
		stat_inc(&sp->by->stats->bypass_left[why]);
		/* The application's socket is one like any other again. What fails here leaves one
		 * that is in a map without an effect. */
		if (side->app) {
			(void)bypass_ref_set(sp->by->bypass, side->app, &none);
			(void)bypass_part_socket(sp->by->bypass, side->app);
		}
		bypass_buffer(sp->streams[d].source, 0);
	}
	splice_choose_engine(sp);
}

/* ---- the engine ---------------------------------------------------------------------------- */

static void on_time(struct timer *t)
{
	struct bypass *b = container_of(t, struct bypass, timer);

	stream_again(&b->splice->streams[UP]);
	stream_again(&b->splice->streams[DOWN]);
}

/* Nothing is copied for a moment. False: that has been for long enough. */
static bool hold(struct bypass *b)
{
	struct loop *loop = b->splice->by->loop;

	if (!b->held_since) {
		b->held_since = loop->now;
		b->hold_ns = HOLD_MIN_NS;
	}
	if (loop->now - b->held_since > HOLD_NS << MIN(b->tries, HOLD_DOUBLED)) {
		b->held_since = 0;
		b->try_at = loop->now + (TRY_AGAIN_NS << b->tries);
		return false;
	}
	b->timer.fire = on_time;
	loop_timer_set(loop, &b->timer, loop->now + b->hold_ns);
	b->hold_ns *= 2;
	return true;
}

/* True: nothing is to be copied now. */
static bool try_to_join(struct bypass *b)
{
	struct loop *loop = b->splice->by->loop;

	if (loop->now < b->try_at)
		return false;
	switch (chance_of(b)) {
	case CHANCE_NOW:
		if (join(b) == 0) {
			joined(b);
			return true;
		}
		unjoin(b);
		bypass_refuse(b, WAY_REFUSED);
		return false;
	case CHANCE_HOLD:
		if (hold(b))
			return true;
		if (++b->tries >= TRIES_MAX)
			bypass_refuse(b, WAY_BUSY);
		return false;
	case CHANCE_LATER:
		b->held_since = 0;
		if (++b->laters >= LATER_MAX)
			bypass_refuse(b, WAY_BUSY);
		return false;
	case CHANCE_BLOCKS:
		b->held_since = 0;
		b->try_at = loop->now + (BLOCKS_NS << b->blocks);
		if (++b->blocks > BLOCKS_MAX)
			bypass_refuse(b, WAY_BLOCKING);
		return false;
	default:
		bypass_refuse(b, b->why);
		return false;
	}
}

/* Bytes that one application sends are not for the other one yet. */
static bool has_filter(const struct bypass *b)
{
	const struct stream *streams = b->splice->streams;

	return streams[UP].filter || streams[DOWN].filter;
}

static void meeting_pump(struct stream *s)
{
	struct bypass *b = s->splice->bypass;

	if (b->held_since && timer_is_set(&b->timer))
		return;
	if (!has_filter(b) && try_to_join(b))
		return;
	/* It may be the kernel's by now. */
	if (b->why)
		stream_again(s);
	else
		engine_copy.pump(s);
}

const struct engine engine_meeting = {.pump = meeting_pump};

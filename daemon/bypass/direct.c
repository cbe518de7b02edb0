// SPDX-License-Identifier: GPL-2.0-or-later
#include "direct.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "../buffers.h"
#include "../splice/copy.h"
#include "../splice/drain.h"
#include "../splice/ending.h"
#include "../splice/lane.h"
#include "../splice/wait.h"
#include "../stats.h"
#include "../util.h"
#include "giveup.h"
#include "look.h"
#include "maps.h"
#include "outlet.h"
#include "side.h"

/* Reads of one stream in one turn. */
#define TURN_READS 8
/*
 * The receive buffer of a source's socket when its window has been full once: it holds one token or
 * two, and the source is stopped by the next one. Earlier it would drop what was promised room.
 */
#define SMALL_BUFFER 20480

void bypass_buffer(struct conn *c, int bytes)
{
	/* Where memory is scarce: as large as buffers_set() would have made it. */
	int big = c->share ? (int)c->window : 1 << 20;
	int lock = c->share ? SOCK_RCVBUF_LOCK | SOCK_SNDBUF_LOCK : 0;

	c->joinable = bytes != 0;
	if (bytes) {
		(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
		return;
	}
	/* The size, and that the kernel may change it again. Where that fails it is small. */
	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big));
	(void)setsockopt(c->fd, SOL_SOCKET, SO_BUF_LOCK, &lock, sizeof(lock));
}

static enum way_phase phase_of(const struct bypass_stream *b)
{
	return (enum way_phase)__atomic_load_n(&b->way->phase, __ATOMIC_ACQUIRE);
}

/* Nothing is sent directly or injected any more: what this look sees in the target's queue is all,
 * where an earlier one may have seen less. */
static void leave(struct stream *s, enum way_why why)
{
	struct bypass_stream *b = s->bypass;

	stat_inc(&s->splice->by->stats->bypass_left[why]);
	b->why = why;
	bypass_enter(b, BYPASS_LEAVING);
	(void)bypass_look(b);
}

/*
 * The way is to be left. The program does that with the source's next send; but the source may send
 * nothing more, or be refused the memory for it before the program is called.
 */
static void try_to_leave(struct stream *s)
{
	struct bypass_stream *b = s->bypass;

	if (b->waiting || b->state == BYPASS_HELD || (b->way->outlet && b->state == BYPASS_DIRECT))
		return;
	if (bypass_is_given_up(b)) {
		b->taken = true;
		leave(s, (enum way_why)b->way->leave);
	} else if (b->state == BYPASS_CARRYING) {
		bypass_wait(b);
	} else {
		bypass_wait_patiently(b);
	}
}

/* Follows what the program has decided. */
static void observe(struct stream *s)
{
	struct bypass_stream *b = s->bypass;
	enum way_phase phase = phase_of(b);

	if (phase == WAY_DIRECT && b->state == BYPASS_CARRYING)
		bypass_enter(b, BYPASS_DIRECT);
	if (b->state == BYPASS_LEAVING || b->state == BYPASS_DELIVERING)
		return;
	if (phase == WAY_LEFT) {
		leave(s, (enum way_why)b->way->why);
		if (b->why == WAY_CORRUPT)
			stream_corrupt(s);
	} else if (b->way->leave) {
		try_to_leave(s);
	}
}

/* Whether the source's TCP has nothing in it any more that came before the data of LEFT. */
static bool has_dropped_all(const struct bypass_stream *b)
{
	return b->taken || b->dropped == b->way->tokens_bytes;
}

/* ---- waiting ------------------------------------------------------------------------------- */

/* Whether the target's queue is too full for what would be done next. */
static bool must_wait(const struct stream *s)
{
	const struct bypass_stream *b = s->bypass;
	const struct way *way = b->way;
	int64_t queued = bypass_queued(b);

	if (way->outlet)
		return outlet_must_wait(s);
	switch (b->state) {
	case BYPASS_CARRYING:
		if (!s->pending_len && !s->source->readable)
			return false;
		if (b->injected > way->messages)
			return queued > 0;
		return queued > (b->over ? way->low : way->high);
	case BYPASS_DIRECT:
	case BYPASS_HELD:
		return __atomic_load_n(&way->held, __ATOMIC_ACQUIRE) != b->holds &&
		       s->source->readable &&
		       queued > __atomic_load_n(&way->rest, __ATOMIC_RELAXED);
	case BYPASS_LEAVING:
		return has_dropped_all(b) && queued > 0;
	default:
		return false;
	}
}

static void wait_for_target(struct stream *s)
{
	struct bypass_stream *b = s->bypass;

	if (b->state == BYPASS_DIRECT) {
		bypass_enter(b, BYPASS_HELD);
		s->pauses++;
		stat_inc(&s->splice->by->stats->pauses);
	}
	b->over = true;
	if (b->way->outlet)
		outlet_ask(s);
	bypass_wait(b);
}

static void go_on(struct stream *s)
{
	struct bypass_stream *b = s->bypass;

	b->over = false;
	b->backoff = 0;
	if (b->state != BYPASS_HELD)
		return;
	stat_inc(&s->splice->by->stats->resumes);
	if (!b->small && b->way->full) {
		b->small = true;
		bypass_buffer(s->source, SMALL_BUFFER);
	}
	bypass_enter(b, BYPASS_DIRECT);
	b->patience = 0;
	if (b->way->leave && !b->way->outlet)
		bypass_wait_patiently(b);
}

/* ---- bytes --------------------------------------------------------------------------------- */

/* Tells the program up to where the source's bytes are in the target's queue. */
static void tell_forwarded(const struct stream *s)
{
	uint64_t at = s->source->received - s->pending_len;

	__atomic_store_n(&s->bypass->way->forwarded, (uint32_t)at, __ATOMIC_RELEASE);
}

/*
 * Puts what is pending into the target's queue: the program sees to it that it is not sent. 0; or
 * the owner was told of a failure. Without memory, the target's or that of the socket that sends,
 * the way is left: nobody says when there is some, and an empty queue makes none. TCP goes on with
 * a little. What is pending is in nobody's queue, so that the program cannot make the way direct.
 */
static int inject(struct stream *s)
{
	struct bypass_stream *b = s->bypass;
	ssize_t n;

	if (b->way->outlet) {
		int err = outlet_carry(s);

		tell_forwarded(s);
		return err;
	}
	n = send(s->target->fd, s->pending + s->pending_at, s->pending_len, MSG_NOSIGNAL);
	if (n < 0) {
		switch (errno) {
		case EINTR:
			return 0;
		case EAGAIN:
		case ENOMEM:
		case ENOBUFS:
			bypass_ask_to_leave(b, WAY_MEMORY);
			leave(s, WAY_MEMORY);
			return 0;
		case EACCES: /* the target is in no map: closed */
			stream_failed(s, s->target, ECONNRESET);
			return -ECONNRESET;
		default:
			stream_failed(s, s->target, errno);
			return -ECONNRESET;
		}
	}
	s->copied += (uint64_t)n;
	s->pending_at += (uint32_t)n;
	s->pending_len -= (uint32_t)n;
	s->splice->active_ns = stream_now(s);
	b->injected++;
	tell_forwarded(s);
	return 0;
}

/* Of `n` bytes that were just read those at the front that are tokens. The phase is looked at after
 * the read: what was sent in a later phase was not in it otherwise. */
static size_t tokens_among(const struct bypass_stream *b, size_t n)
{
	if (b->taken)
		return 0;
	switch (phase_of(b)) {
	case WAY_DIRECT:
		return n;
	case WAY_LEFT:
		return MIN(n, (size_t)(b->way->tokens_bytes - b->dropped));
	default:
		return 0;
	}
}

/* Whether these are what the program has put there: `n` bytes behind those that were dropped. */
static bool are_tokens(const struct bypass_stream *b, const char *data, size_t n)
{
	const char *nonce = (const char *)&b->way->nonce;
	size_t i = 0;

	while (i < n) {
		uint32_t at = (b->dropped + (uint32_t)i) % BYPASS_TOKEN;

		if (at < sizeof(b->way->nonce) && data[i] != nonce[at])
			return false;
		i += at < sizeof(b->way->nonce) ? 1 : BYPASS_TOKEN - at;
	}
	return true;
}

/* Reads once. 0: something came; -EAGAIN: nothing is there; -ENODATA: the end; or the owner was
 * told. */
static int take(struct stream *s)
{
	struct bypass_stream *b = s->bypass;
	uint32_t holds = __atomic_load_n(&b->way->held, __ATOMIC_ACQUIRE);
	char *data = s->splice->by->loop->buffer;
	size_t tokens;
	size_t size = b->way->outlet ? outlet_read_size(s) : STREAM_READ;
	ssize_t n = recv(s->source->fd, data, size, 0);

	if (n == 0)
		return -ENODATA;
	if (n < 0) {
		if (errno == EINTR)
			return 0;
		if (errno == EAGAIN) {
			s->source->readable = false;
			/* Beside an outlet no token is read that was not seen before it was looked
			 * at. */
			b->holds = b->way->outlet ? b->seen : holds;
			return -EAGAIN;
		}
		if (s->source->failed)
			return -ENODATA; /* the same error, told again */
		stream_failed(s, s->source, errno);
		return s->source->failed ? 0 : -ECONNRESET;
	}
	s->source->received += (uint64_t)n;
	tokens = tokens_among(b, (size_t)n);
	if (!are_tokens(b, data, tokens)) {
		stream_corrupt(s);
		return -ECONNRESET;
	}
	b->dropped += (uint32_t)tokens;
	if (tokens < (size_t)n && stream_keep(s, data + tokens, (size_t)n - tokens) < 0) {
		stream_failed(s, s->target, ENOMEM);
		return -ECONNRESET;
	}
	return 0;
}

/* ---- ends ---------------------------------------------------------------------------------- */

/* Whether the source is much better off with a socket that is in no map. */
static bool needs_plain_tcp(enum way_why why)
{
	return why == WAY_MEMORY || why == WAY_SMALL;
}

/*
 * Once neither way is gone any more, both applications' sockets are like any other again: TCP's own
 * send always makes some progress where memory is short, that of a socket in a map does not.
 * Nothing is in their queues that did not come by TCP.
 */
static void let_go(const struct stream *s)
{
	const struct bypass_stream *there = stream_opposite(s)->bypass;

	if (s->bypass->way->outlet) {
		(void)bypass_part_socket(s->splice->by->bypass, s->bypass->app);
		return;
	}
	if (there->state != BYPASS_OVER) {
		if (needs_plain_tcp(s->bypass->why)) {
			bypass_ask_to_leave(there, s->bypass->why);
			stream_again(there->stream);
		}
		return;
	}
	/* The low mark goes as well, where the program has not left the way itself. */
	__atomic_store_n(&s->bypass->way->on, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&there->way->on, 0, __ATOMIC_SEQ_CST);
	/* What fails leaves one that is in a map without an effect. */
	(void)bypass_part_socket(s->splice->by->bypass, s->bypass->app);
	(void)bypass_part_socket(s->splice->by->bypass, there->app);
}

/*
 * The rest is an ordinary stream's: its bytes come to the target by TCP, behind what is in its
 * queue, which is empty.
 */
static void hand_over(struct stream *s)
{
	struct bypass_stream *b = s->bypass;

	if (b->way->outlet) {
		outlet_undo(s);
	} else {
		/* There is one, and without it the program would find no target. Out of the map,
		 * for the same reason as the applications' above. */
		(void)bypass_ref_clear(s->splice->by->bypass, s->target->cookie);
		(void)bypass_part_socket(s->splice->by->bypass, s->target->cookie);
	}
	bypass_unwait(b);
	bypass_buffer(s->source, 0);
	bypass_enter(b, BYPASS_OVER);
	let_go(s);
	s->hand = &engine_copy;
	s->source->readable = s->target->writable = true;
	stream_again(s);
}

/*
 * The source has ended. A FIN must not overtake what is in the target's queue: the kernel throws
 * that away when the target's TCP is over. And a source that was closed with bytes unread, which
 * TCP would have answered with a reset, has been reset.
 */
static void deliver(struct stream *s)
{
	struct bypass_stream *b = s->bypass;

	if (bypass_unread(b) > 0) {
		bypass_wait(b);
		return;
	}
	if (s->source->failed) {
		if (b->way->outlet)
			stream_farewell(s);
		else
			s->splice->owner->delivered(s->splice);
		return;
	}
	if (b->way->discarded) {
		stream_failed(s, s->source, ECONNRESET);
		return;
	}
	if (!kernel_proved(s))
		return;
	s->eof = true;
	stream_unwait(s);
	bypass_unwait(b);
	bypass_enter(b, BYPASS_OVER);
	let_go(s);
	stream_enter(s, STREAM_ENDING);
	stream_finish(s);
}

static void source_ended(struct stream *s)
{
	struct bypass_stream *b = s->bypass;

	observe(s);
	if (s->splice->ended)
		return;
	/* The copy engine finds the end again. */
	if (b->state == BYPASS_LEAVING) {
		b->dropped = b->way->tokens_bytes;
		if (bypass_unread(b) > 0)
			bypass_wait(b);
		else
			hand_over(s);
		return;
	}
	if (b->state != BYPASS_DELIVERING)
		bypass_enter(b, BYPASS_DELIVERING);
	/* What it sent before its end came to the queue before its end came here. */
	(void)bypass_look(b);
	deliver(s);
}

/* ---- the engine ---------------------------------------------------------------------------- */

/* One step. False: there is nothing to do now. */
static bool step(struct stream *s)
{
	struct bypass_stream *b = s->bypass;

	observe(s);
	if (s->splice->ended || outlet_has_failed(s))
		return false;
	if (b->way->outlet)
		outlet_look(s);
	if (must_wait(s)) {
		wait_for_target(s);
		return false;
	}
	go_on(s);
	if (b->state == BYPASS_LEAVING && has_dropped_all(b)) {
		hand_over(s);
		return false;
	}
	if (s->pending_len && b->state != BYPASS_LEAVING)
		return inject(s) == 0;
	if (!s->source->readable)
		return false;
	switch (take(s)) {
	case 0:
		return true;
	case -ENODATA:
		if (s->pending_len && b->state != BYPASS_LEAVING)
			return true;
		source_ended(s);
		return false;
	default:
		return false;
	}
}

static void bypass_pump(struct stream *s)
{
	struct bypass_stream *b = s->bypass;

	if (b->waiting && !b->patient)
		return; /* it is looked at when that is due */
	if (!b->fresh)
		(void)bypass_look(b);
	b->fresh = false;
	if (b->state == BYPASS_DELIVERING) {
		deliver(s);
		return;
	}
	for (int i = 0; i < TURN_READS; i++)
		if (s->splice->ended || b->state == BYPASS_OVER || !step(s))
			return;
	stream_again(s);
}

const struct engine engine_bypass = {.pump = bypass_pump};

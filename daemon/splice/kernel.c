// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "../daemon.h"
#include "../log.h"
#include "../session.h"
#include "../worker.h"
#include "copy.h"
#include "tcpstate.h"

/* uapi linux/socket.h, which <sys/socket.h> hides. */
#ifndef SOCK_RCVBUF_LOCK
#define SOCK_RCVBUF_LOCK 2
#endif

/*
 * How long a stream may miss bytes that TCP says it received before the session is aborted. They
 * are on their way between two queues of one socket, so this is time for a starved machine.
 */
#define PROOF_DEADLINE_NS (5 * NSEC_PER_SEC)

/* Memory of a backlog in units of its payload: the marks on bytes alone do not bound small
 * segments. Full-size ones stay well below these. */
#define MEMORY_PER_HIGH 8
#define MEMORY_PER_HARD 4

/*
 * A stream whose target is the slower side, and the only one of its worker that waits, is copied
 * for this many bytes after each pause. When the target's write queue is full the kernel looks
 * again a timer tick later, so on its own it would leave one stream, and an idle processor,
 * waiting; with several streams they fill each other's gaps, and the kernel's path is the cheaper
 * one.
 */
#define BY_HAND  (UINT64_C(8) << 20)
#define ALONE_NS (50 * NSEC_PER_MSEC)

/* ---- facts ------------------------------------------------------------------------------ */

int kernel_backlog(const struct stream *s, uint64_t *backlog, uint64_t *unsent)
{
	struct tcp_state state;
	uint64_t redirected = stream_redirected(s);
	int err = tcp_state_read(s->target->fd, &state);

	if (err)
		return err;
	*backlog =
	    backlog_of(s->target->sent, redirected, state.acked + state.queued, s->target->base);
	*unsent = *backlog + state.unsent;
	return 0;
}

int kernel_accounted(const struct stream *s, bool *ret)
{
	struct tcp_state state;
	int err = tcp_state_read(s->source->fd, &state);

	if (err)
		return err;
	*ret = stream_complete(state.received, s->source->received, stream_redirected(s));
	/* Closed, and all its bytes are here, but no FIN: a reset whose error another call was
	 * told. */
	if (!*ret && state.closed && state.received == s->source->received + stream_redirected(s))
		return -ECONNRESET;
	return 0;
}

static uint64_t passed(const struct stream *s)
{
	return __atomic_load_n(&s->lane->passed, __ATOMIC_SEQ_CST);
}

/* ---- small steps ------------------------------------------------------------------------ */

/*
 * SO_RCVLOWAT takes the socket lock and decides when data raises data_ready, and so a verdict. A
 * large value holds verdicts off (and makes the kernel grow the receive buffer to fit); 1 lets them
 * run and runs one at once if data waits.
 */
static void hold(const struct worker *w, const struct conn *c)
{
	int bytes = (int)w->daemon->config->splice_window * 3;

	if (!(w->maps->debug & SPLICE_DEBUG_NO_RCVLOWAT))
		(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

static void kick(const struct conn *c)
{
	int one = 1;

	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
}

/*
 * Gives the source a receive window of splice_window in a buffer three times as large, for good.
 *
 * The kernel's own tuning takes redirected bytes for bytes an application has read: it would grow
 * the buffer to the system's maximum, and all of that would reach the target's queue at once when a
 * pause ends. And a window as large as the buffer closes: what arrives while kick() holds the
 * socket's lock still counts against the buffer when the last window is computed
 * (__tcp_select_window() subtracts sk_backlog.len), nobody tells the sender that there is room
 * again, and it waits for a timer.
 */
static void fix_window(const struct worker *w, const struct conn *c, bool first)
{
	int window = (int)w->daemon->config->splice_window, lock = SOCK_RCVBUF_LOCK;

	/* Every time: the kernel sets the clamp anew when segments become larger. */
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &window, sizeof(window));
	if (first)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_BUF_LOCK, &lock, sizeof(lock));
}

static enum copy_reason reason_of(int err)
{
	switch (err) {
	case -E2BIG:
	case -ENOSPC:
	case -ENOMEM:
		return COPY_MAP_FULL;
	case -EOPNOTSUPP:
		return COPY_HALF_CLOSED;
	default:
		return COPY_REFUSED;
	}
}

static void copy_from_now_on(struct worker *w, struct stream *s, enum copy_reason why)
{
	s->engine = &engine_copy;
	s->why_copy = why;
	/* A half-closed stream is a case only if it then moves bytes: see session_end(). */
	s->released_at = s->copied;
	if (why != COPY_HALF_CLOSED)
		stat_inc(&w->stats.copy_reasons[why]);
}

/* ---- engage ----------------------------------------------------------------------------- */

int kernel_engage(struct worker *w, struct stream *s)
{
	struct lane *lane = s->lane;
	int err = 0;

	if (s->source->fin_seen)
		err = -EOPNOTSUPP;
	if (!err && !s->target->based) {
		uint64_t written;

		err = tcp_written(s->target->fd, &written);
		if (err == -EAGAIN) {
			stream_again(w, s);
			return err;
		}
		s->target->base = written - s->target->sent;
		s->target->based = !err;
	}
	if (!err) {
		/* Everything handed up has been written, as part of `copied`: see splice-api.h. */
		lane->forwarded = lane->passed;
		lane->copied = s->copied - lane->forwarded;
		lane->pause_seen = lane->pause_wanted;
		__atomic_store_n(&lane->epoch, lane->epoch + 1, __ATOMIC_RELEASE);
		s->drained = false;
		hold(w, s->source);
		fix_window(w, s->source, lane->epoch == 1);
		err = maps_engage(w->maps, s->source->cookie, s->source->fd);
		if (err)
			kick(s->source);
	}
	if (err) {
		copy_from_now_on(w, s, reason_of(err));
		return err;
	}
	s->engine = &engine_kernel;
	stream_enter(s, STREAM_ENGAGED);
	stream_watch(w, s);
	kick(s->source);
	return 0;
}

/* Prepares the part shared with the kernel. The slot's previous user is long closed, so nobody else
 * writes to it now. */
static int share(struct worker *w, struct stream *s, uint32_t index)
{
	const struct config *c = w->daemon->config;
	struct lane_ref ref = {.target = s->target->cookie, .lane = index};
	struct lane *lane = &w->maps->lanes[index];

	*lane = (struct lane){
	    .limit = w->daemon->budget,
	    .high = (uint32_t)c->splice_high,
	    .hard = (uint32_t)c->splice_hard,
	    .mem_high = (uint32_t)MIN(c->splice_high * MEMORY_PER_HIGH, UINT32_MAX),
	    .mem_hard = (uint32_t)MIN(c->splice_hard * MEMORY_PER_HARD, UINT32_MAX),
	    .generation = s->session->generation,
	    .worker = (uint16_t)w->index,
	};
	s->lane = lane;
	s->lane_index = index;
	return maps_lane_set(w->maps, s->source->cookie, &ref);
}

/* Makes sure that the socket is in `sockets`: sockops has done it where sessions go to the kernel
 * at once (see maps_own()), unless it could not. */
static int collect(struct worker *w, struct conn *c)
{
	socklen_t len = sizeof(c->cookie);

	if (getsockopt(c->fd, SOL_SOCKET, SO_COOKIE, &c->cookie, &len) < 0)
		return -errno;
	if (!w->daemon->config->engage_after && maps_socket_present(w->maps, c->cookie))
		return 0;
	return maps_socket_add(w->maps, c->cookie, c->fd);
}

void kernel_adopt(struct worker *w, struct session *session)
{
	struct stream *up = &session->streams[UP], *down = &session->streams[DOWN];
	int err = 0;

	if (up->state != STREAM_COPY || down->state != STREAM_COPY) {
		copy_from_now_on(w, up, COPY_HALF_CLOSED);
		copy_from_now_on(w, down, COPY_HALF_CLOSED);
		return;
	}
	for (int i = 0; !err && i < 2; i++)
		err = collect(w, &session->conns[i]);
	for (int i = 0; !err && i < 2; i++)
		err = share(w, &session->streams[i], session->slot * 2 + (uint32_t)i);
	if (err) {
		copy_from_now_on(w, up, reason_of(err));
		copy_from_now_on(w, down, reason_of(err));
		return;
	}
	session->adopted = true;
	stat_inc(&w->stats.sessions_kernel);
	for (int i = 0; i < 2; i++) {
		struct stream *s = &session->streams[i];

		s->why_copy = COPY_NONE;
		/* Pending bytes go first; the copy engine engages it after them. */
		if (session->state != SESSION_ENDED && !s->pending_len)
			(void)kernel_engage(w, s);
	}
}

/* ---- take back -------------------------------------------------------------------------- */

/*
 * Whether the held source is open and far from filling its receive window. When it is full the
 * kernel runs a verdict whatever SO_RCVLOWAT says, and a verdict that meets the delete drops its
 * segment.
 */
static bool window_is_open(const struct worker *w, const struct stream *s)
{
	uint64_t consumed = s->source->received + stream_redirected(s) + passed(s) - s->taken;
	struct tcp_state state;

	if (w->maps->debug & SPLICE_DEBUG_NO_RCVLOWAT)
		return true;
	if (tcp_state_read(s->source->fd, &state) < 0)
		return true; /* the delete will tell */
	/* A FIN runs one too; its EPOLLRDHUP leads to the end of the stream. */
	return state.open && state.received < consumed + w->daemon->config->splice_window / 4;
}

/* Without sockops. Safe as long as no verdict is due in this very moment. */
static int delete_unlocked(struct worker *w, struct stream *s)
{
	int err;

	if (!window_is_open(w, s))
		return -EBUSY;
	err = maps_disengage(w->maps, s->source->cookie);
	if (!err && passed(s) != s->taken) {
		err = maps_engage(w->maps, s->source->cookie, s->source->fd);
		if (!err)
			return -EAGAIN; /* still held */
		/* Its FIN has come: what was handed up is the last of it and is read all the same;
		 * the count at the end of the stream proves it. */
		if (err == -EOPNOTSUPP)
			err = 0;
	}
	return err;
}

/* Has the sockops program delete it, under the socket's lock: see leave() in splice.bpf.c. */
static int delete_locked(struct worker *w, struct stream *s)
{
	struct lane *lane = s->lane;
	uint16_t request = (uint16_t)(lane->leave + 1);

	lane->taken = s->taken;
	__atomic_store_n(&lane->leave, request, __ATOMIC_SEQ_CST);
	/* An error told here is told nowhere else. */
	if (send(s->source->fd, "", 0, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		return errno == EPIPE ? -ECONNRESET : -errno;
	if (__atomic_load_n(&lane->left, __ATOMIC_SEQ_CST) == request)
		return 0;
	/* Withdrawn; the lock that hold() takes waits for a call that has seen it. */
	__atomic_store_n(&lane->leave, lane->left, __ATOMIC_SEQ_CST);
	hold(w, s->source);
	if (__atomic_load_n(&lane->left, __ATOMIC_SEQ_CST) == request) {
		__atomic_store_n(&lane->leave, request, __ATOMIC_SEQ_CST);
		return 0;
	}
	/* An open source that did not leave is one that sockops does not know. */
	return passed(s) != s->taken ? -EAGAIN : delete_unlocked(w, s);
}

/*
 * Takes the source out of the verdict map. 0: its bytes now wait in its receive queue. -EAGAIN:
 * bytes were handed up meanwhile and must be read in the map, so it is still there, held. -EBUSY:
 * it cannot leave now (its FIN has come, say); still there, held. Other: the peer is gone.
 */
static int take_back(struct worker *w, struct stream *s)
{
	bool locked = w->maps->collected && !(w->maps->debug & SPLICE_DEBUG_NO_RCVLOWAT);
	int err;

	hold(w, s->source);
	err = locked ? delete_locked(w, s) : delete_unlocked(w, s);
	if (err == -EAGAIN || err == -EBUSY)
		return err;
	kick(s->source);
	/* The kernel takes a socket out of the maps itself when its TCP ends in a reset. */
	return err == -ENOENT ? -ECONNRESET : err;
}

/* take_back() failed for good: the peer is gone, or bytes are. */
static void taken_badly(struct stream *s, int err)
{
	if (err == -ECONNRESET)
		session_fail(s->session, s->source, ECONNRESET);
	else
		session_end(s->session, END_INTEGRITY);
}

/*
 * Bytes were handed up. Verdicts are held off while they are read: under a steady stream each would
 * hand up the next segment, for order's sake, and the stream would never get back to the kernel.
 */
static void start_serving(struct worker *w, struct stream *s)
{
	stat_inc(&w->stats.served);
	hold(w, s->source);
	s->wait_since = 0;
	s->settling = s->taken;
	stream_enter(s, STREAM_SERVING);
	stream_watch(w, s);
	stream_again(w, s);
}

/* From now on the copy engine reads the source; what is pending goes first. */
static void to_copy(struct worker *w, struct stream *s)
{
	s->engine = &engine_copy;
	stream_unwait(w, s);
	stream_enter(s, STREAM_COPY);
	s->source->readable = true;
	s->target->writable = true;
	stream_watch(w, s);
	stream_again(w, s);
}

void kernel_abandon(struct worker *w, struct stream *s)
{
	if (s->state == STREAM_ENDING)
		return; /* all of it is accounted for */
	if (s->engine == &engine_kernel)
		to_copy(w, s);
	s->why_copy = COPY_HALF_CLOSED;
}

int kernel_release(struct worker *w, struct stream *s)
{
	int err;

	switch (s->state) {
	case STREAM_COPY:
		/* Not to be engaged later either. */
		if (s->why_copy == COPY_NONE && s->session->adopted)
			copy_from_now_on(w, s, COPY_HALF_CLOSED);
		return 0;
	case STREAM_PAUSED:
		break;
	case STREAM_SERVING:
		return -EAGAIN;
	case STREAM_ENGAGED:
		err = passed(s) != s->taken ? -EAGAIN : take_back(w, s);
		if (err == -EBUSY) {
			kick(s->source);
			return -EAGAIN;
		}
		if (err == -EAGAIN)
			start_serving(w, s);
		else if (err)
			taken_badly(s, err);
		if (err)
			return err;
		break;
	default:
		return 0;
	}
	copy_from_now_on(w, s, COPY_HALF_CLOSED);
	to_copy(w, s);
	return 0;
}

/* Pauses the lane if its backlog really is high: it may have drained since the event. */
static void consider_pause(struct worker *w, struct stream *s)
{
	uint64_t low = w->daemon->config->splice_low, backlog = 0, unsent = 0;
	struct lane *lane = s->lane;
	int err = kernel_backlog(s, &backlog, &unsent);

	if (err) {
		session_fail(s->session, s->target, -err);
		return;
	}
	if (lane->mem_old + lane->mem_new > lane->mem_high)
		low = MIN(low, unsent / 2);
	__atomic_store_n(&lane->pause_seen, __atomic_load_n(&lane->pause_wanted, __ATOMIC_ACQUIRE),
			 __ATOMIC_RELEASE);
	if (unsent <= low)
		return;

	err = take_back(w, s);
	if (err == -EBUSY) {
		kick(s->source); /* another pause is asked for with the next segment */
		return;
	}
	if (err == -EAGAIN) {
		start_serving(w, s);
		return;
	}
	if (err) {
		taken_badly(s, err);
		return;
	}
	s->low = low;
	s->pauses++;
	stat_inc(&w->stats.pauses);
	stream_enter(s, STREAM_PAUSED);
	stream_wait(w, s, true);
}

/* Whether no other stream of the worker has been paused lately. */
static bool is_alone(struct worker *w, const struct stream *s)
{
	if (w->last_paused != s)
		w->company_ns = w->now;
	w->last_paused = s;
	return w->now - w->company_ns > ALONE_NS;
}

static void paused(struct worker *w, struct stream *s)
{
	uint64_t backlog = 0, unsent = 0;
	int err = kernel_backlog(s, &backlog, &unsent);

	if (err) {
		session_fail(s->session, s->target, -err);
		return;
	}
	if (unsent > s->low) {
		stream_wait_drain(w, s, unsent - s->low);
		return;
	}
	stream_unwait(w, s);
	stat_inc(&w->stats.resumes);
	if (is_alone(w, s) && !backlog && !s->source->fin_seen) {
		s->by_hand = BY_HAND;
		to_copy(w, s);
		return;
	}
	if (kernel_engage(w, s) == 0) {
		stream_again(w, s);
		return;
	}
	if (s->engine != &engine_copy)
		return; /* tried again in this turn */
	/* The source has ended meanwhile: its tail is copied. */
	to_copy(w, s);
}

/* ---- serve ------------------------------------------------------------------------------ */

void kernel_await_proof(struct worker *w, struct stream *s)
{
	if (!s->wait_since)
		s->wait_since = w->now;
	if (w->now - s->wait_since > PROOF_DEADLINE_NS) {
		log_error(
		    "session %llu: %llu bytes read and %llu redirected are not what TCP received",
		    (unsigned long long)s->session->id, (unsigned long long)s->source->received,
		    (unsigned long long)stream_redirected(s));
		session_end(s->session, END_INTEGRITY);
		return;
	}
	stream_wait(w, s, false);
}

/* Whether every byte of the ended source is accounted for; if not yet, it is waited for. */
static bool proved(struct worker *w, struct stream *s)
{
	bool complete = false;
	int err = kernel_accounted(s, &complete);

	if (err)
		session_fail(s->session, s->source, -err);
	else if (!complete)
		kernel_await_proof(w, s);
	return !err && complete;
}

/* Room for `want` more bytes behind what is pending. */
static int grow_pending(struct stream *s, size_t want)
{
	char *bigger;

	if (s->pending_at) {
		memmove(s->pending, s->pending + s->pending_at, s->pending_len);
		s->pending_at = 0;
	}
	bigger = realloc(s->pending, s->pending_len + want);
	if (!bigger)
		return -ENOMEM;
	s->pending = bigger;
	return 0;
}

/*
 * Reads what was handed up, all of it with one call where it can: the receive window opens again
 * only then. It is never more than the source's receive buffer. Returns recv()'s result or -errno.
 */
static ssize_t take_up(struct stream *s)
{
	size_t want = passed(s) - s->taken;
	ssize_t n;

	if (grow_pending(s, want) < 0)
		return -ENOMEM;
	n = recv(s->source->fd, s->pending + s->pending_len, want, 0);
	if (n < 0)
		return -errno;
	s->taken += (uint64_t)n;
	if (n > 0)
		s->wait_since = 0;
	s->pending_len += (uint32_t)n;
	s->source->received += (uint64_t)n;
	return n;
}

/* Everything handed up is pending now: writing it is the copy engine's work. */
static void taken_up(struct worker *w, struct stream *s)
{
	int err;

	if (s->source->fin_seen) {
		/* It stays in the map: nothing more will come, and it could not be put back. */
		if (!proved(w, s))
			return;
		copy_from_now_on(w, s, COPY_HALF_CLOSED);
		kick(s->source);
		to_copy(w, s);
		return;
	}
	err = take_back(w, s);
	if (err == -EAGAIN || err == -EBUSY)
		stream_again(w, s);
	else if (err)
		taken_badly(s, err);
	else
		to_copy(w, s); /* which engages it again when nothing is pending */
}

/* Pending bytes beyond this are written before more is taken up: the bound of a stream's memory. */
static bool too_much(const struct worker *w, const struct stream *s)
{
	return s->pending_len > 2 * w->daemon->config->splice_window;
}

/*
 * Whether what was handed up has stopped growing: the sender has filled the receive window, or has
 * no more for now. Then everything queued is handed up as well, because a read in the verdict map
 * finds nothing while the receive queue is not empty (tcp_bpf_recvmsg_parser()); one read takes it
 * all, and with verdicts held off again there is time to leave the map before the sender has filled
 * the window.
 */
static bool settled(struct worker *w, struct stream *s)
{
	uint64_t handed = passed(s);

	if (handed == s->settling)
		return true;
	s->settling = handed;
	stream_wait(w, s, true);
	return false;
}

static void serve(struct worker *w, struct stream *s)
{
	ssize_t n = 1;

	if (too_much(w, s)) {
		copy_flush(w, s);
		return;
	}
	if (!settled(w, s))
		return;
	kick(s->source);
	hold(w, s->source);
	if (passed(s) != s->taken)
		n = take_up(s);
	if (n == -EAGAIN) {
		/* Handed up, but not readable yet: it may wait behind this socket's own backlog. */
		stream_wait(w, s, false);
	} else if (n < 0) {
		session_fail(s->session, s->source, (int)-n);
	} else if (passed(s) == s->taken) {
		taken_up(w, s);
	} else if (n == 0) {
		/* Zero is also what a read gives while the last bytes are still on their way up. */
		kernel_await_proof(w, s);
	} else {
		stream_again(w, s);
	}
}

/* ---- events ----------------------------------------------------------------------------- */

static void engaged(struct worker *w, struct stream *s)
{
	struct lane *lane = s->lane;

	if (passed(s) != s->taken) {
		stream_unwait(w, s);
		start_serving(w, s);
		return;
	}
	if (__atomic_load_n(&lane->pause_wanted, __ATOMIC_ACQUIRE) != lane->pause_seen) {
		consider_pause(w, s);
		if (s->state != STREAM_ENGAGED || s->session->state == SESSION_ENDED)
			return;
	}
	if (!s->source->fin_seen || !proved(w, s))
		return;
	s->eof = true;
	stream_unwait(w, s);
	stream_enter(s, STREAM_ENDING);
	stream_watch(w, s);
	stream_finish(w, s);
}

static void kernel_pump(struct worker *w, struct stream *s)
{
	if (s->state == STREAM_ENGAGED)
		engaged(w, s);
	else if (s->state == STREAM_SERVING)
		serve(w, s);
	else if (s->state == STREAM_PAUSED)
		paused(w, s);
}

void kernel_event(struct worker *w, struct stream *s, const struct lane_event *event)
{
	if (event->kind == LANE_EVENT_GAP) {
		log_error("session %llu: bytes are missing before sequence number %u",
			  (unsigned long long)s->session->id, s->lane->next_seq);
		session_end(s->session, END_INTEGRITY);
		return;
	}
	/* PAUSED and SERVING have their own wake-ups; a pause they no longer need is forgotten. */
	if (event->kind == LANE_EVENT_PAUSE && s->state != STREAM_ENGAGED && s->lane)
		__atomic_store_n(&s->lane->pause_seen, s->lane->pause_wanted, __ATOMIC_RELEASE);
	stream_pump(w, s);
}

void kernel_forget(struct worker *w, struct session *session)
{
	for (int i = 0; i < 2; i++) {
		struct stream *s = &session->streams[i];

		if (!s->lane)
			continue;
		maps_lane_clear(w->maps, s->source->cookie);
		/* An event still in a ring finds nobody, whoever gets the slot next. */
		__atomic_store_n(&s->lane->generation, 0, __ATOMIC_RELEASE);
	}
}

const struct engine engine_kernel = {.name = "kernel", .pump = kernel_pump};

// SPDX-License-Identifier: GPL-2.0-or-later
#include "memorywatch.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

#include "buffers.h"
#include "bypass/bypass.h"
#include "daemon.h"
#include "http/exchange.h"
#include "log.h"
#include "memory.h"
#include "splice/lane.h"
#include "splice/settings.h"
#include "tcpstate.h"
#include "util.h"
#include "worker.h"

/* How often something is looked at, at most and at least. */
#define TICK_MIN_NS    (5 * NSEC_PER_MSEC)
#define TICK_NS        (20 * NSEC_PER_MSEC)
#define TICK_MAX_NS    (250 * NSEC_PER_MSEC)
#define TICK_PLENTY_NS (100 * NSEC_PER_MSEC)
/* ... and where nobody has to look: then a worker asks. */
#define NEVER_NS (3600 * NSEC_PER_SEC)
/* In hundredths of memory_max. */
#define CHANGE_PERCENT 1
/* Sessions that are measured in one turn. */
#define BATCH 512
/* What a session can hold beyond what its source was promised: some segments of the largest kind on
 * either side and between them. */
#define BESIDES (UINT64_C(1) << 20)

/* ---- one session ------------------------------------------------------------------------ */

static uint64_t held_by_conn(const struct conn *c)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);

	if (!c || c->fd < 0 || getsockopt(c->fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0)
		return 0;
	return (uint64_t)info[SK_MEMINFO_RMEM_ALLOC] + info[SK_MEMINFO_BACKLOG] +
	       (c->tcp ? info[SK_MEMINFO_WMEM_QUEUED] : info[SK_MEMINFO_WMEM_ALLOC]);
}

static uint64_t held_by_stream(const struct stream *s)
{
	uint64_t held = s->pending_at + (uint64_t)s->pending_len, backlog = 0, unsent = 0;

	if (s->lane && !s->drained && s->target && s->target->fd >= 0 &&
	    kernel_backlog(s, stream_redirected(s), &backlog, &unsent) == 0)
		held += backlog;
	return held;
}

/* Bytes the peer has taken, since whenever. */
static uint64_t taken_by(const struct conn *c)
{
	struct tcp_state state;

	if (!c || c->fd < 0)
		return 0;
	if (!c->tcp)
		return c->sent;
	return tcp_state_read(c->fd, &state) < 0 ? 0 : state.acked;
}

static void measure(struct session *s)
{
	struct memory *m = s->home->memory;
	uint64_t held = 0, taken = 0;

	for (int i = 0; i < 2; i++)
		held += held_by_conn(s->conns[i]) + held_by_stream(&s->streams[i]);
	if (s->http)
		held += s->http->out[SIDE_CLIENT].len + s->http->out[SIDE_BACKEND].len;
	memory_hold(m, &s->memory, held);
	/* Others of the host may be what holds much. */
	if (atomic_load(&m->used) < memory_watch_mark(m))
		return;
	for (int i = 0; i < 2; i++)
		taken += taken_by(s->conns[i]);
	memory_pace(m, &s->memory, s->home->loop->now, taken);
}

static void apply_to_stream(const struct stream *s)
{
	const struct splice_settings *c = s->splice->settings;

	if (!s->lane || !s->target)
		return;
	s->lane->high = (uint32_t)buffers_mark(s->target, c->high);
	s->lane->hard = (uint32_t)buffers_hard(s->target, c->high, c->hard);
}

static void apply(struct session *s, uint64_t share, bool hard)
{
	uint64_t window = s->splice.settings->window;

	for (int i = 0; i < 2; i++) {
		const struct stream *out = &s->streams[i == SIDE_CLIENT ? UP : DOWN];

		/* Served by hand it gets them in the next round. */
		if (share || out->state != STREAM_SERVING)
			buffers_set(s->conns[i], share, window, hard);
	}
	for (int i = 0; i < 2; i++)
		apply_to_stream(&s->streams[i]);
	bypass_bound(&s->splice);
}

/* ---- a worker --------------------------------------------------------------------------- */

/* Measures some sessions, or gives them what there is for them: the first of the list become its
 * last. */
static void visit(struct worker *w, bool measuring)
{
	struct memory *m = &w->daemon->memory;
	uint64_t sessions = (uint64_t)w->home.n * w->daemon->n_workers;
	bool hard[2] = {memory_is_hard(m, sessions, false), memory_is_hard(m, sessions, true)};

	for (unsigned int i = MIN(w->home.n, BATCH); i; i--) {
		struct session *s = TAILQ_FIRST(&w->home.live);

		session_unlist(s);
		TAILQ_INSERT_TAIL(&w->home.live, s, link);
		if (measuring)
			measure(s);
		apply(s, memory_share(m, s->memory.moving), hard[s->memory.moving]);
	}
}

/* `total`: what all TCP holds now. */
static void look_at(struct worker *w, uint64_t total)
{
	struct memory *m = &w->daemon->memory;
	enum memory_level before = memory_level(m);

	w->memory_round.total = total;
	w->memory_round.looked_ns = w->loop.now;
	visit(w, true);
	memory_judge(m, w->loop.now);
	/* Those that were measured first did not know yet. */
	if (memory_level(m) > before)
		visit(w, false);
}

static uint64_t until_next_look(const struct worker *w)
{
	const struct memory *m = &w->daemon->memory;
	bool few = memory_level(m) == MEMORY_PLENTY && w->home.n <= BATCH;
	uint64_t ns = MIN(memory_time_left(m) / 4, few ? TICK_PLENTY_NS : TICK_NS);

	return MAX(ns, TICK_MIN_NS);
}

/* Whether what all TCP holds is about what it was when sessions were last measured here: then they
 * hold that, too, and are measured for the sake of those that begin to move, or stop. */
static bool nothing_new(const struct worker *w, uint64_t total)
{
	const struct memory_round *r = &w->memory_round;
	uint64_t change = total > r->total ? total - r->total : r->total - total;

	return w->loop.now - r->looked_ns < TICK_MAX_NS &&
	       change < w->daemon->memory.max / 100 * CHANGE_PERCENT;
}

static void on_round(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, memory_round.timer);
	const struct memory *m = &w->daemon->memory;
	struct memory_round *r = &w->memory_round;
	uint64_t total = memory_of_tcp(m);

	if (!nothing_new(w, total)) {
		/* Who was made smaller gets his buffers back, which takes one round more. */
		if (total >= memory_watch_mark(m) || memory_level(m) != MEMORY_PLENTY)
			r->rest = w->home.n + BATCH;
		else
			r->rest -= MIN(r->rest, BATCH);
		if (!r->rest)
			return;
		look_at(w, total);
	}
	loop_timer_set(&w->loop, t, w->loop.now + until_next_look(w));
}

static void begin(struct worker *w)
{
	struct memory_round *r = &w->memory_round;

	if (timer_is_set(&r->timer))
		return;
	r->rest = w->home.n + 2 * BATCH;
	r->looked_ns = 0;
	loop_timer_set(&w->loop, &r->timer, w->loop.now);
}

/* To the worker: there is reason to measure. */
static void on_begin(void *owner, void *arg _unused_)
{
	begin(owner);
}

void memory_round_init(struct worker *w)
{
	w->memory_round.timer.fire = on_round;
}

/* ---- the main thread -------------------------------------------------------------------- */

/* Bytes that so many sessions could come to hold at most. */
static uint64_t most_of(const struct daemon *d, uint64_t sessions)
{
	return sessions * (2 * memory_promise(&d->memory) + d->settings.high + BESIDES);
}

/* ... and without a word to the daemon: from its high mark on the kernel asks for a pause. */
static uint64_t most_unseen(const struct daemon *d, uint64_t sessions)
{
	return d->maps ? sessions * (MIN(d->settings.high, d->memory.most / 2) + BESIDES / 4) : 0;
}

static uint64_t all_sessions(const struct daemon *d)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < d->n_workers; i++)
		n += atomic_load(&d->workers[i].home.n);
	return n;
}

static void set_tick(struct memory_watch *m, uint64_t ns)
{
	struct timeval tv = timeval_of(ns);

	/* One that is set, or has just fired, has its memory: see memory_watch_init(). */
	(void)evtimer_add(m->tick, &tv);
}

static void on_more(void *owner _unused_, void *arg)
{
	set_tick(arg, TICK_MIN_NS);
}

static void wake_up(struct memory_watch *m)
{
	if (!atomic_exchange(&m->awake, true))
		mailbox_post(m->mail, &m->more, on_more, m);
}

static void on_tick(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct memory_watch *m = arg;
	struct daemon *d = m->daemon;
	uint64_t mark = memory_watch_mark(&d->memory), total = memory_of_tcp(&d->memory);
	bool scarce = total >= mark || memory_level(&d->memory) != MEMORY_PLENTY;

	for (unsigned int i = 0; scarce && i < d->n_workers; i++)
		mailbox_post(&d->workers[i].mail, &d->workers[i].memory_round.begin, on_begin,
			     NULL);
	if (scarce || m->seen != total) {
		m->seen = total;
		m->rest_ns = 0;
		atomic_store(&m->awake, true);
		set_tick(m, scarce
				? TICK_MAX_NS
				: MAX(TICK_MIN_NS, MIN(memory_time_to(total, mark), TICK_MAX_NS)));
		return;
	}
	/* Nothing moves. The next turn of a worker begins it again; without one they could come to
	 * hold so much in the kernel alone. */
	atomic_store(&m->awake, false);
	m->rest_ns = MIN(MAX(m->rest_ns * 2, TICK_MIN_NS), TICK_MAX_NS);
	set_tick(m, most_unseen(d, all_sessions(d)) >= mark ? m->rest_ns : NEVER_NS);
}

/* Whether a worker's sessions, and those of the others, which are about as many, can hold enough.
 */
static bool are_enough(const struct worker *w)
{
	struct daemon *d = w->daemon;

	return d->memory_watch.mail &&
	       most_of(d, (uint64_t)w->home.n * d->n_workers) >= memory_watch_mark(&d->memory);
}

void memory_turn(struct worker *w)
{
	struct memory_watch *watch = &w->daemon->memory_watch;
	struct memory_round *r = &w->memory_round;

	if (atomic_load_explicit(&watch->awake, memory_order_relaxed) ||
	    (r->enough && w->loop.now - r->asked_ns < TICK_PLENTY_NS))
		return;
	r->asked_ns = w->loop.now;
	r->enough = are_enough(w);
	if (r->enough)
		wake_up(watch);
}

void memory_turn_lasts(struct worker *w)
{
	const struct memory *m = &w->daemon->memory;
	uint64_t total;

	if (!are_enough(w))
		return;
	total = memory_of_tcp(m);
	if (total < memory_watch_mark(m) && memory_level(m) == MEMORY_PLENTY)
		return;
	begin(w);
	if (!nothing_new(w, total))
		look_at(w, total);
}

int memory_watch_init(struct memory_watch *m, struct daemon *d, struct event_base *base,
		      struct mailbox *mail)
{
	m->daemon = d;
	m->mail = mail;
	m->tick = evtimer_new(base, on_tick, m);
	/* Always set, it is set anew without memory. */
	if (!m->tick ||
	    evtimer_add(m->tick, &(struct timeval){.tv_sec = NEVER_NS / NSEC_PER_SEC}) < 0)
		return log_errno(-ENOMEM, "the watch on memory");
	return 0;
}

void memory_watch_fini(struct memory_watch *m)
{
	if (m->tick)
		event_free(m->tick);
	m->tick = NULL;
}

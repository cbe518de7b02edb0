// SPDX-License-Identifier: GPL-2.0-or-later
#include "dial.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "../log.h"
#include "../loop.h"
#include "../stats.h"
#include "fault.h"
#include "idle.h"
#include "own.h"
#include "pool.h"

/*
 * How often one that waits for something of this host, or for room in a unix socket's backlog,
 * looks whether it is there: nothing tells it. At first soon, then more and more rarely.
 */
#define PAUSE_MIN_NS (NSEC_PER_MSEC)
#define PAUSE_MAX_NS (50 * NSEC_PER_MSEC)

/* The least time that an address of many is given: a SYN that is lost is sent again after a second.
 */
#define SHARE_MIN_NS (NSEC_PER_SEC)

#define TO(state) (1u << DIAL_##state)
static const uint8_t next_states[_DIAL_STATE_MAX] = {
    [DIAL_NEW] = TO(CONNECTING) | TO(WAITING) | TO(OVER),
    [DIAL_CONNECTING] = TO(CONNECTING) | TO(WAITING) | TO(OVER),
    [DIAL_WAITING] = TO(CONNECTING) | TO(WAITING) | TO(OVER),
    [DIAL_OVER] = 0,
};
#undef TO

bool dial_may_enter(enum dial_state from, enum dial_state next)
{
	return next_states[from] >> next & 1;
}

/* The only place a dial changes state. */
static void dial_enter(struct dial *d, enum dial_state next)
{
	assert(dial_may_enter(d->state, next));
	d->state = next;
	if (next != DIAL_WAITING)
		d->waiting_ns = 0;
	if (next == DIAL_OVER)
		loop_timer_cancel(d->dialer->loop, &d->timer);
}

static uint64_t now_of(const struct dial *d)
{
	return d->dialer->loop->now;
}

static const struct pool_config *config_of(const struct dial *d)
{
	return d->plan.pool->config;
}

/* ---- the owner is told ------------------------------------------------------------------ */

static void succeed(struct dial *d, struct conn *c, int err)
{
	c->event = NULL;
	/* Else it is one that was kept, and what is left of a try before goes with the dial. */
	if (c == d->conn)
		d->conn = NULL;
	d->server = NULL;
	dial_enter(d, DIAL_OVER);
	d->calls->connected(d->owner, c, err);
}

static void give_up(struct dial *d, enum dial_failure why)
{
	dial_enter(d, DIAL_OVER);
	d->calls->failed(d->owner, why);
}

/* ---- one try ---------------------------------------------------------------------------- */

static void on_event(struct conn *c, uint32_t events);

static bool wants_keepalive(const struct dial *d)
{
	return conn_wants_keepalive(&config_of(d)->tcp_keepalive, d->plan.silence);
}

/* What the address is given. Where others of the server are as good, they share connect_timeout. */
static uint64_t try_time(const struct dial *d)
{
	uint64_t all = config_of(d)->connect_timeout, others = d->attempt.others;

	return others ? MAX(all / (others + 1), MIN(all, SHARE_MIN_NS)) : all;
}

static void mark(void *arg, int fd)
{
	const struct dial *d = arg;

	if (d->dialer->mark)
		d->dialer->mark(d->dialer->arg, fd, d->plan.bypass);
}

static int connect_once(const struct dial *d, bool keepalive)
{
	bool tcp = d->where.sa.sa_family != AF_UNIX;

	return conn_dial(&d->where, &d->from, d->plan.speaks,
			 keepalive ? &config_of(d)->tcp_keepalive : NULL, tcp ? mark : NULL,
			 (void *)d);
}

/* Whose address the connection to the chosen one is made from. */
static void find_sender(struct dial *d)
{
	bool own = !d->plan.client || server_is_internal(d->server);

	d->from = (struct sender){0};
	d->from_err = own ? 0 : sender_choose(d->plan.client, &d->where, &d->from);
}

static bool is_full(int fd)
{
	return fd == -EMFILE || fd == -ENFILE;
}

/*
 * Who was accepted gets his server's socket even when descriptors have just run out: a connection
 * that is kept for later goes, or the reserve is given up for it.
 */
static int open_socket(const struct dial *d, bool keepalive)
{
	const struct dialer *dl = d->dialer;
	int fd = connect_once(d, keepalive);

	if (is_full(fd) && idle_give_up(dl->idle))
		fd = connect_once(d, keepalive);
	if (is_full(fd) && dl->spare_fd(dl->arg))
		fd = connect_once(d, keepalive);
	return fd;
}

/* 0, or a negative errno: it has failed at once. */
static int try_server(struct dial *d)
{
	struct loop *l = d->dialer->loop;
	bool keepalive = wants_keepalive(d);
	int fd;

	if (d->from_err)
		return d->from_err;
	if (!d->conn)
		d->conn = conn_new();
	if (!d->conn)
		return -ENOMEM;
	fd = open_socket(d, keepalive);
	if (fd < 0)
		return fd;
	*d->conn = (struct conn){
	    .fd = fd,
	    .side = SIDE_BACKEND,
	    .tcp = d->where.sa.sa_family != AF_UNIX,
	    .asked = keepalive,
	    .server = d->server,
	    .peer = d->where,
	    .from = d->from,
	    .event = on_event,
	    .owner = d,
	};
	d->extended = false;
	dial_enter(d, DIAL_CONNECTING);
	loop_watch(l, d->conn, EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	loop_timer_set(l, &d->timer, l->now + try_time(d));
	return 0;
}

/* Goes on with a connection that an earlier request has left. */
static void go_on_with(struct dial *d, struct conn *c)
{
	/* The one before may have had a listener with shorter times. It is not worth failing for.
	 */
	if (!c->asked && c->tcp && wants_keepalive(d))
		c->asked = conn_set_keepalive(c->fd, &config_of(d)->tcp_keepalive) == 0;
	attempt_spare(c->server, &d->where, &d->attempt, now_of(d));
	succeed(d, c, 0);
}

/* One to the chosen server. False: there is none. */
static bool reuse(struct dial *d)
{
	const struct dial_plan *p = &d->plan;
	struct conn *c;

	if (p->fresh || d->from_err)
		return false;
	c = p->own ? own_take(p->own, d->server, &d->where, &d->from, p->careful) : NULL;
	if (!c && p->idle)
		c = idle_take(d->dialer->idle, d->server, &d->where, &d->from, p->careful);
	if (c)
		go_on_with(d, c);
	return c;
}

/* One on which the client has said who it is: no other server would know. */
static bool reuse_identified(struct dial *d)
{
	struct own *own = d->plan.own;
	struct conn *c = own ? own_take_identified(own, d->plan.pool) : NULL;

	if (!c)
		return false;
	server_count(c->server);
	go_on_with(d, c);
	return true;
}

/*
 * Waits for what others give back, as long as a server may take to be connected. Nobody is accepted
 * while descriptors are short. The server stays chosen. False: it has waited long enough.
 */
static bool await(struct dial *d, int err)
{
	uint64_t most = fault_is_shortage(err) ? config_of(d)->connect_timeout : try_time(d);
	uint64_t now = now_of(d), waited;

	dial_enter(d, DIAL_WAITING);
	if (!d->waiting_ns) {
		d->waiting_ns = now;
		d->pause_ns = PAUSE_MIN_NS;
	}
	waited = now - d->waiting_ns;
	if (waited >= most)
		return false;
	loop_timer_set(d->dialer->loop, &d->timer, now + MIN(d->pause_ns, most - waited));
	d->pause_ns = MIN(d->pause_ns * 2, PAUSE_MAX_NS);
	return true;
}

/* ---- one after the other ---------------------------------------------------------------- */

static enum dial_failure failure(const struct dial *d)
{
	if (d->failed)
		return DIAL_CONNECT_FAILED;
	return d->portless ? DIAL_LIMIT : DIAL_NO_SERVER;
}

/* The address is not tried again. False: out of memory. */
static bool remember(struct dial *d)
{
	const struct pool *p = d->plan.pool;

	if (!d->tried)
		d->tried = calloc(p->n_servers, sizeof(*d->tried));
	if (!d->tried)
		return false;
	d->tried[d->attempt.at] |= UINT64_C(1) << d->attempt.slot;
	d->last = d->server;
	return true;
}

static void report(const struct dial *d, int err)
{
	bool is_client = d->plan.client && fault_may_be_clients(&d->from, err);

	/* A name may have addresses of both families, of which every client needs one. */
	if (!fault_is_foreign(err) || !d->attempt.others)
		fault_report(config_of(d)->name, d->server, &d->where,
			     is_client ? d->plan.client : NULL, err, now_of(d));
}

/* Puts the failed try behind us. False: the owner was told that it is over. */
static bool next_try(struct dial *d, int err)
{
	struct server *server = d->server;
	bool remembered = remember(d);

	report(d, err);
	if (d->conn) {
		loop_unwatch(d->dialer->loop, d->conn);
		conn_close(d->conn, false);
	}
	d->server = NULL;
	d->waiting_ns = 0;
	if (fault_is_portless(err))
		d->portless = true;
	else if (!fault_is_foreign(err))
		d->failed = true;
	if (fault_is_portless(err) || fault_may_be_clients(&d->from, err)) {
		attempt_spare(server, &d->where, &d->attempt, now_of(d));
		server_release(server);
	} else {
		attempt_failed(server, &d->where, &d->attempt, err, now_of(d));
	}
	if (!remembered)
		give_up(d, DIAL_LIMIT);
	return remembered;
}

/* Begins to connect. True: it has failed at once, and the next is to be tried. */
static bool try_fails(struct dial *d)
{
	int err = -try_server(d);

	if (!err || (fault_is_passing(err) && await(d, err)))
		return false;
	if (!fault_is_shortage(err))
		return next_try(d, err);
	give_up(d, DIAL_LIMIT);
	return false;
}

/* Who may be asked after what has failed so far. */
static unsigned int wish(const struct dial *d)
{
	if (!d->last)
		return WISH_ANY;
	if (now_of(d) >= d->until_ns)
		return d->overtime ? 0 : WISH_OTHERS;
	return WISH_OTHERS | WISH_PASSED | (d->retries_left ? WISH_PASSED_OTHERS : 0);
}

/* False: nobody is left, and the owner was told, or it waits for one. */
static bool choose(struct dial *d)
{
	struct pool *pool = d->plan.pool;
	const struct wish w = {.tried = d->tried,
			       .last = d->last,
			       .what = wish(d),
			       .now = now_of(d),
			       .original = d->plan.original};

	d->server = pool_pick(pool, &w, &d->where, &d->attempt);
	if (!d->server) {
		/* A name that is still being looked up is like a server that does not answer yet.
		 */
		if (d->last || !pool_is_awaited(pool) || !await(d, 0)) {
			if (!d->plan.original && pool_has_original(pool))
				fault_report_unknown(config_of(d)->name, w.now);
			give_up(d, failure(d));
		}
		return false;
	}
	if (server_is_original(d->server))
		d->where = *d->plan.original;
	find_sender(d);
	if (!d->last)
		return true;
	stat_inc(d->dialer->retries);
	if (d->server == d->last)
		return true;
	if (d->retries_left)
		d->retries_left--;
	if (w.now >= d->until_ns)
		d->overtime = true;
	return true;
}

static void go_on(struct dial *d)
{
	while (choose(d) && !reuse(d) && try_fails(d))
		;
}

/* ---- what happens to a try -------------------------------------------------------------- */

static void try_failed(struct dial *d, int err)
{
	if (next_try(d, err))
		go_on(d);
}

/* Its time is over. Where it was made epoll may have had no memory to tell, and where it was not
 * the loop may have left the server less than its time. */
static void try_is_late(struct dial *d)
{
	struct loop *l = d->dialer->loop;
	uint32_t events = conn_events(d->conn);
	uint64_t more = d->extended ? 0 : timer_owes(d->timer.at, l->now);

	if (events & EPOLLOUT) {
		on_event(d->conn, events);
	} else if (more) {
		d->extended = true;
		loop_timer_set(l, &d->timer, l->now + more);
	} else {
		try_failed(d, ETIMEDOUT);
	}
}

static void on_timer(struct timer *t)
{
	struct dial *d = container_of(t, struct dial, timer);

	if (d->state == DIAL_WAITING) {
		if (!d->server || (!reuse(d) && try_fails(d)))
			go_on(d);
	} else {
		try_is_late(d);
	}
}

static void on_event(struct conn *c, uint32_t events)
{
	int err = events & EPOLLERR ? conn_error(c->fd) : 0;
	struct dial *d = c->owner;

	if (events & CONN_UNWATCHED) {
		give_up(d, DIAL_LIMIT);
		return;
	}
	/* The kernel's tcp_reset() says ECONNREFUSED while a connection is being made; these only
	 * of one that was made, and whoever did that is not down. */
	if (err && err != ECONNRESET && err != EPIPE) {
		try_failed(d, err);
		return;
	}
	if (events & EPOLLOUT)
		c->writable = true;
	conn_input_event(c, events);
	if (!err && !(events & EPOLLOUT))
		return;
	attempt_connected(d->server, &d->where, &d->attempt, now_of(d));
	succeed(d, c, err);
}

/* ---- life ------------------------------------------------------------------------------- */

struct dial *dial_new(struct dialer *dl, const struct dial_plan *plan,
		      const struct dial_calls *calls, void *owner)
{
	const struct pool_config *c = plan->pool->config;
	struct dial *d = dl->last ? dl->last : malloc(sizeof(*d));

	if (!d)
		return NULL;
	dl->last = NULL;
	*d = (struct dial){
	    .dialer = dl,
	    .plan = *plan,
	    .calls = calls,
	    .owner = owner,
	    .timer.fire = on_timer,
	    .until_ns = dl->loop->now + c->connect_timeout * (1 + (uint64_t)c->retries),
	    .retries_left = c->retries,
	};
	return d;
}

void dial_begin(struct dial *d)
{
	if (!reuse_identified(d))
		go_on(d);
}

/* Its server counts it no longer, and learns from a try that was given up what there is to learn.
 */
static void release(struct dial *d)
{
	uint64_t now = now_of(d), half = config_of(d)->connect_timeout / 2;

	/* Of a server that hangs, clients may have enough before connect_timeout is over; one of
	 * which epoll has something to tell does not hang. */
	if (d->state == DIAL_CONNECTING && now - d->attempt.began_ns >= half &&
	    !fault_may_be_clients(&d->from, ETIMEDOUT) && !(conn_events(d->conn) & EPOLLOUT)) {
		attempt_failed(d->server, &d->where, &d->attempt, ETIMEDOUT, now);
		return;
	}
	attempt_spare(d->server, &d->where, &d->attempt, now);
	server_release(d->server);
}

void dial_halt(struct dial *d)
{
	if (!d)
		return;
	loop_timer_cancel(d->dialer->loop, &d->timer);
	if (!d->conn)
		return;
	loop_unwatch(d->dialer->loop, d->conn);
	d->conn->event = NULL;
}

void dial_free(struct dial *d)
{
	struct dialer *dl;

	if (!d)
		return;
	dl = d->dialer;
	if (d->server)
		release(d);
	if (d->state != DIAL_OVER)
		dial_enter(d, DIAL_OVER);
	if (d->conn) {
		d->conn->event = NULL;
		conn_close(d->conn, true);
		loop_conn_gone(dl->loop, d->conn);
	}
	free(d->tried);
	if (dl->last)
		free(d);
	else
		dl->last = d;
}

void dialer_fini(struct dialer *dl)
{
	free(dl->last);
	dl->last = NULL;
}

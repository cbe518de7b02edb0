// SPDX-License-Identifier: GPL-2.0-or-later
#include "session.h"

#include <errno.h>

#include "buffers.h"
#include "listener.h"
#include "log.h"
#include "loop.h"
#include "memory.h"
#include "sessionlog.h"
#include "setup.h"
#include "slots.h"
#include "splice/settings.h"
#include "stats.h"
#include "upstream/dial.h"
#include "walk.h"

uint64_t session_active_ns(const struct session *s)
{
	uint64_t latest = MAX(s->splice.active_ns, s->opened_ns);

	for (int i = 0; i < 2; i++)
		latest = MAX(latest, stream_active_ns(&s->streams[i]));
	return latest;
}

const char *session_engine(const struct session *s)
{
	return splice_engine(&s->splice);
}

/* ---- timeouts --------------------------------------------------------------------------- */

void session_arm(struct session *s, uint64_t ns)
{
	s->deadline_ns = s->home->loop->now + ns;
	s->extended = false;
	/* A timer that fires too soon is set again: most deadlines are replaced long before. */
	if (!timer_is_set(&s->timer) || s->timer.at > s->deadline_ns)
		loop_timer_set(s->home->loop, &s->timer, s->deadline_ns);
}

void session_disarm(struct session *s)
{
	loop_timer_cancel(s->home->loop, &s->timer);
}

static void on_timeout(struct timer *t)
{
	struct session *s = container_of(t, struct session, timer);
	struct loop *l = s->home->loop;

	if (s->state == SESSION_ENDED)
		return;
	if (l->now + LOOP_SLACK_NS >= s->deadline_ns && !s->extended) {
		s->extended = true;
		s->deadline_ns = l->now + timer_owes(t->at, l->now);
	}
	if (l->now + LOOP_SLACK_NS < s->deadline_ns)
		loop_timer_set(l, t, s->deadline_ns);
	else
		s->protocol->timeout(s);
}

/* ---- what is said to it --------------------------------------------------------------- */

/* epoll reports `events` for one of the two sockets. */
static void on_event(struct conn *c, uint32_t events)
{
	struct session *s = c->owner;

	if (s->state == SESSION_ENDED)
		return;
	if (events & CONN_UNWATCHED)
		session_end(s, END_LIMIT);
	else
		s->protocol->event(s, c, events);
}

static void on_failed(struct splice *sp, struct conn *c, int err)
{
	session_fail(container_of(sp, struct session, splice), c, err);
}

static void on_corrupt(struct splice *sp)
{
	session_end(container_of(sp, struct session, splice), END_INTEGRITY);
}

static void on_delivered(struct splice *sp)
{
	struct session *s = container_of(sp, struct session, splice);

	session_end(s, s->end);
}

static void on_done(struct splice *sp)
{
	struct session *s = container_of(sp, struct session, splice);

	s->protocol->stream_done(s);
}

static const struct splice_owner splice_owner = {
    .failed = on_failed,
    .corrupt = on_corrupt,
    .delivered = on_delivered,
    .done = on_done,
};

/* ---- life ------------------------------------------------------------------------------- */

void session_speak(struct session *s, const struct protocol *next)
{
	if (s->protocol)
		log_session(LOG_LVL_DEBUG, s->id, ": %s -> %s", s->protocol->describe(s),
			    next->describe(s));
	s->protocol = next;
}

static void init_streams(struct session *s)
{
	struct conn *client = &s->client_conn;

	client->event = on_event;
	client->owner = s;
	client->side = SIDE_CLIENT;
	s->conns[SIDE_CLIENT] = client;
	s->splice.by = s->home->splicer;
	s->splice.settings = s->home->settings;
	s->splice.owner = &splice_owner;
	s->splice.streams = s->streams;
	s->splice.id = s->id;
	splice_begin(&s->splice, client);
}

void session_move(struct session *s, struct listener *l)
{
	struct setup *was = s->listener->setup;

	/* Pools and servers of the setup before may go with it. */
	session_tally(s);
	s->told_server = NULL;
	s->pool = NULL;
	s->listener = l;
	setup_join(l->setup, s->home);
	setup_leave(was, s->home);
}

/* A socket that it has got begins with what there is for it. Of a new one nothing but a first
 * window has been promised yet; one that has served a request may have promised much. */
static void share_buffers(const struct session *s, struct conn *c)
{
	const struct home *h = s->home;

	buffers_set(c, memory_share(h->memory, false), h->settings->window, !c->used);
}

static void attach(struct session *s, struct conn *c)
{
	c->event = on_event;
	c->owner = s;
	s->conns[SIDE_BACKEND] = c;
	share_buffers(s, c);
	splice_attach(&s->splice, c);
}

struct conn *session_detach(struct session *s)
{
	struct conn *c = s->conns[SIDE_BACKEND];

	if (c) {
		c->event = NULL;
		c->owner = NULL;
	}
	s->conns[SIDE_BACKEND] = NULL;
	splice_attach(&s->splice, NULL);
	return c;
}

struct session_about *session_about(struct session *s)
{
	if (!s->about)
		s->about = calloc(1, sizeof(*s->about));
	if (!s->about)
		session_end(s, END_LIMIT);
	return s->about;
}

const struct addr *session_destination(const struct session *s, struct addr *buf)
{
	if (s->about && s->about->dst.len)
		return &s->about->dst;
	if (s->original)
		return s->original;
	*buf = (struct addr){.len = sizeof(buf->un)};
	if (getsockname(s->client_conn.fd, &buf->sa, &buf->len) < 0)
		return NULL;
	addr_unmap(buf);
	return buf;
}

bool session_finds_no_room(struct session *s)
{
	struct home *h = s->home;

	if (!memory_refuses(h->memory) || !listener_tells(s->listener))
		return false;
	s->no_room = true;
	stat_inc(&h->stats->memory_refusals);
	return true;
}

bool session_start(struct home *home, struct listener *l, int fd, uint32_t slot,
		   const struct addr *client, struct addr *original, bool denied,
		   void (*begin)(struct session *s))
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return false;
	s->home = home;
	s->listener = l;
	setup_join(l->setup, home);
	s->id = atomic_fetch_add(home->last_id, 1) + 1;
	s->splice.slot = slot;
	s->original = original;
	s->denied = denied;
	s->began_ns = home->loop->now;
	init_streams(s);
	s->client_conn.fd = fd;
	s->client_conn.peer = *client;
	s->client_conn.tcp = client->sa.sa_family != AF_UNIX;
	s->client_conn.foreign = l->foreign;
	TAILQ_INSERT_TAIL(&home->live, s, link);
	home_count(home, 1);
	s->timer.fire = on_timeout;
	share_buffers(s, s->conns[SIDE_CLIENT]);

	stream_watch(&s->streams[UP]);
	begin(s);
	return true;
}

/* ---- its server ------------------------------------------------------------------------- */

const struct server *session_server(const struct session *s)
{
	return s->dial ? s->dial->server : s->server;
}

const struct addr *session_backend(const struct session *s)
{
	const struct conn *c = s->conns[SIDE_BACKEND];

	if (s->dial)
		return s->dial->where.len ? &s->dial->where : NULL;
	return c ? &c->peer : NULL;
}

/* What it has moved so far was for the server it had before, and that one took so long to connect.
 */
static void count_connected(struct session *s, const struct conn *c)
{
	struct server_stats *st = &c->server->parts[s->home->index].stats;

	if (c->server != s->told_server) {
		session_tally(s);
		s->told_server = c->server;
	}
	s->served = true;
	if (!c->used)
		stat_time(&st->connect_duration, s->home->loop->now - s->dial->attempt.began_ns);
}

static void forget_dial(struct session *s)
{
	dial_free(s->dial);
	s->dial = NULL;
}

/* What it had before is closed: see http_release_server(). */
static void on_connected(void *owner, struct conn *c, int err)
{
	struct session *s = owner;
	struct conn *closed = session_detach(s);

	if (closed)
		loop_conn_gone(s->home->loop, closed);
	count_connected(s, c);
	forget_dial(s);
	s->server = c->server;
	attach(s, c);
	if (s->state == SESSION_LIVE)
		s->protocol->connected(s, err);
	if (err && c->owner == s)
		session_fail(s, c, err);
}

/* The dial is kept for what it knows of the server that was tried last. */
static void on_dial_failed(void *owner, enum dial_failure why)
{
	static const enum session_end ends[] = {
	    [DIAL_CONNECT_FAILED] = END_CONNECT_FAILED,
	    [DIAL_NO_SERVER] = END_NO_SERVER,
	    [DIAL_LIMIT] = END_LIMIT,
	};
	struct session *s = owner;

	if (s->state == SESSION_LIVE)
		s->protocol->dial_failed(s, ends[why]);
}

void session_dial(struct session *s, const struct dial_plan *plan)
{
	static const struct dial_calls calls = {on_connected, on_dial_failed};

	if (s->state == SESSION_ENDED)
		return;
	s->dial = dial_new(s->home->dialer, plan, &calls, s);
	if (s->dial)
		dial_begin(s->dial);
	else
		s->protocol->dial_failed(s, END_LIMIT);
}

void session_release_server(struct session *s)
{
	forget_dial(s);
	if (s->server)
		server_release(s->server);
	s->server = NULL;
}

/* ---- the end ---------------------------------------------------------------------------- */

enum session_end session_end_by(enum side side, int err)
{
	switch (err) {
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE: /* reset after it had ended its stream */
	case ECONNREFUSED:
		return side == SIDE_CLIENT ? END_CLIENT_RESET : END_SERVER_RESET;
	/* It is there no more, or there is no way to it: it answered neither what was sent nor
	 * TCP's keepalive. */
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
	case ENETRESET:
		return side == SIDE_CLIENT ? END_CLIENT_LOST : END_SERVER_LOST;
	case ENOMEM:
	case ENOBUFS:
		return END_LIMIT;
	default:
		return END_ERROR;
	}
}

void session_fail(struct session *s, struct conn *c, int err)
{
	if (s->state != SESSION_ENDED && !c->failed)
		s->protocol->conn_failed(s, c, err);
}

/* ---- end -------------------------------------------------------------------------------- */

void session_unlist(struct session *s)
{
	struct home *h = s->home;

	walks_pass_over(h, s);
	TAILQ_REMOVE(&h->live, s, link);
}

void session_end(struct session *s, enum session_end end)
{
	if (s->state == SESSION_ENDED)
		return;
	log_session(LOG_LVL_DEBUG, s->id, ": %s -> ended", s->protocol->describe(s));
	s->end = end;
	s->state = SESSION_ENDED;
	dial_halt(s->dial);
	splice_stop(&s->splice);
	session_unlist(s);
	TAILQ_INSERT_TAIL(&s->home->ended, s, link);
	home_count(s->home, -1U);
	memory_forget(s->home->memory, &s->memory);
	loop_look(s->home->loop);
}

/* A peer whose incoming stream ended properly gets nothing worse than a close. */
static void close_socket(struct session *s, enum side side)
{
	const struct stream *to = &s->streams[side == SIDE_CLIENT ? DOWN : UP];
	struct conn *c = s->conns[side];
	bool polite = s->polite && !(s->given_up && side == SIDE_BACKEND);

	if (!c)
		return;
	loop_unwatch(s->home->loop, c);
	conn_close(c, !polite && to->state != STREAM_DONE);
}

void session_close(struct session *s, bool now)
{
	bool told;

	if (s->closed || (!now && !splice_may_close(&s->splice)))
		return;
	s->closed = true;
	loop_timer_cancel(s->home->loop, &s->timer);
	splice_close(&s->splice);
	told = s->protocol->ended && s->protocol->ended(s);
	close_socket(s, SIDE_CLIENT);
	close_socket(s, SIDE_BACKEND);
	if (!told)
		session_log(s);
	session_count(s);
	session_release_server(s);
}

void session_free(struct session *s)
{
	splice_fini(&s->splice);
	if (s->protocol->free)
		s->protocol->free(s);
	if (s->about)
		free(s->about->tlvs);
	free(s->about);
	free(s->original);
	conn_free(s->conns[SIDE_BACKEND]);
	slots_give(s->home->slots, s->splice.slot);
	listener_session_ended(s->listener);
	setup_leave(s->listener->setup, s->home);
	free(s);
}

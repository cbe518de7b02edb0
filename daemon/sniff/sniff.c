// SPDX-License-Identifier: GPL-2.0-or-later
#include "sniff.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "../listener.h"
#include "../log.h"
#include "../loop.h"
#include "../session.h"
#include "h2ack.h"
#include "look.h"
#include "proxyheader.h"
#include "state.h"
#include "waiting.h"

/* More than any parser wants to see; a client that needs more is refused by its own parser. */
#define SNIFF_MAX (160 * 1024)

/* Reads of one client in one turn, so that one that never stops does not starve the others. */
#define TURN_READS 8
/* What a timer may be early by. */
#define SLACK_NS NSEC_PER_MSEC
/* How long a client of HTTP/2 that has sent its SETTINGS may take for its first request before it
 * is taken for one that waits for the server's: the time between two writes of a busy client. */
#define H2_PAUSE_NS (25 * NSEC_PER_MSEC)

/* ---- waiting ---------------------------------------------------------------------------- */

/* Whether a client that says nothing says enough: its server speaks first. */
static bool may_be_silent(const struct session *s)
{
	const struct listener_config *c = s->listener->config;

	return c->protocol == PROTOCOL_AUTO && (c->accept_proxy == PROXY_ACCEPT_NO || s->proxied);
}

/*
 * The same of one that began like a PROXY header and went no further, or has sent empty lines, and
 * waits for what its server makes of that.
 */
static bool says_too_little(const struct session *s)
{
	const uint8_t *buf;
	size_t len;

	buf = sniff_at_hand(s, &len);
	return may_be_silent(s) && !proxy_header_is(buf, len) &&
	       (proxy_header_starts(buf, len) || guess_is_empty(buf, len));
}

/* Sets the timer for the present state; to be called when a shorter wait begins. */
static void arm(struct session *s)
{
	const struct listener_config *c = s->listener->config;
	uint64_t waited = s->home->loop->now - s->began_ns;
	uint64_t left = c->sniff_timeout > waited ? c->sniff_timeout - waited : 0;

	if (says_too_little(s))
		left = MIN(c->auto_wait, left);
	if (sniff_awaits_settings(s))
		left = MIN(H2_PAUSE_NS, left);
	session_arm(s, left);
}

/* A few bytes, and the first on their connection: they fit, or something is wrong. */
static int say(struct session *s, const uint8_t *bytes, size_t len)
{
	ssize_t n = send(s->client_conn.fd, bytes, len, MSG_NOSIGNAL);

	if (n < 0)
		return -errno;
	s->client_conn.sent += (uint64_t)n;
	return (size_t)n == len ? 0 : -ENOBUFS;
}

/* The client waits for a server's SETTINGS, and which server that is its request will say. */
static void settle(struct session *s)
{
	int err = say(s, h2_empty_settings, sizeof(h2_empty_settings));

	if (err) {
		session_end(s, session_end_by(SIDE_CLIENT, -err));
		return;
	}
	log_session(LOG_LVL_DEBUG, s->id, ": HTTP/2: sends SETTINGS in its server's place");
	s->sniff->settled = s->sniff->h2.take_ack = true;
	arm(s);
}

static void timeout(struct session *s)
{
	const struct listener_config *c = s->listener->config;
	uint64_t now = s->home->loop->now + SLACK_NS;
	bool late = now - s->began_ns >= c->sniff_timeout;

	if (says_too_little(s) && (late || now - s->sniff->heard_ns >= c->auto_wait)) {
		(void)sniff_as_tcp(s);
		return;
	}
	if (!late && sniff_awaits_settings(s) && now - s->sniff->heard_ns >= H2_PAUSE_NS) {
		settle(s);
		return;
	}
	if (!late) {
		arm(s);
		return;
	}
	/* One that has no request yet may have sent one by the time it hears of the end. */
	if (s->sniff->settled && say(s, h2_goaway, sizeof(h2_goaway)) < 0)
		log_session(LOG_LVL_DEBUG, s->id, ": HTTP/2: GOAWAY is lost");
	s->polite = true;
	session_end(s, END_SNIFF_TIMEOUT);
}

/* ---- events ----------------------------------------------------------------------------- */

/* Whether what the client has said begins nothing that is known: a PROXY header, a ClientHello and
 * a request do when they are not whole, too, and no server gets a part of one. */
static bool is_unclear(const struct session *s)
{
	const uint8_t *buf;
	size_t len;

	buf = sniff_at_hand(s, &len);
	return len && may_be_silent(s) && s->sniff->guessed == GUESS_MORE &&
	       (s->proxied || !proxy_header_is(buf, len));
}

/* The client has ended without having said enough. */
static void ended(struct session *s)
{
	s->client_conn.fin_seen = true;
	if (is_unclear(s)) {
		(void)sniff_as_tcp(s);
		return;
	}
	s->polite = true;
	session_end(s, END_CLIENT_CLOSED);
}

/*
 * Appends to what is pending. The buffer doubles: whatever the pieces, a byte is copied a few times
 * at most. 0 or -ENOMEM.
 */
static int keep(struct session *s, const char *data, size_t len)
{
	struct stream *up = &s->streams[UP];
	size_t want = up->pending_len + len;

	if (up->pending_at || want > s->sniff->room) {
		size_t room =
		    want > s->sniff->room ? MAX(want, 2 * (size_t)s->sniff->room) : s->sniff->room;

		if (stream_room(up, room - up->pending_len) < 0)
			return -ENOMEM;
		s->sniff->room = (uint32_t)room;
	}
	memcpy(up->pending + up->pending_len, data, len);
	up->pending_len = (uint32_t)want;
	return 0;
}

static enum step look(struct session *s)
{
	enum step step = sniff_proxy(s);

	return step == STEP_ON ? sniff_protocol(s) : step;
}

/* One read; STEP_ON: nothing is there now. */
static enum step hear(struct session *s)
{
	struct stream *up = &s->streams[UP];
	struct conn *c = &s->client_conn;
	size_t most = SNIFF_MAX - up->pending_len;
	ssize_t n = recv(c->fd, s->home->loop->buffer, most, 0);

	if (n < 0 && errno == EINTR)
		return STEP_MORE;
	if (n < 0 && errno == EAGAIN)
		return STEP_ON;
	if (n < 0) {
		session_end(s, session_end_by(SIDE_CLIENT, errno));
		return STEP_DECIDED;
	}
	if (n == 0) {
		ended(s);
		return STEP_DECIDED;
	}
	c->received += (uint64_t)n;
	s->sniff->heard_ns = s->home->loop->now;
	c->readable = true;
	if ((size_t)n < most)
		conn_short_read(c);
	if (keep(s, s->home->loop->buffer, (size_t)n) < 0) {
		session_end(s, END_LIMIT);
		return STEP_DECIDED;
	}
	return look(s);
}

/* The client has sent something, or has ended. */
static void readable(struct session *s)
{
	enum step step = STEP_MORE;

	s->client_conn.readable = true;
	for (int i = 0; i < TURN_READS && s->client_conn.readable; i++) {
		if (s->streams[UP].pending_len >= SNIFF_MAX) {
			session_end(s, END_SNIFF_LIMIT);
			return;
		}
		step = hear(s);
		if (step == STEP_DECIDED)
			return;
		if (step == STEP_ON)
			break;
	}
	/* It may hold the rest back until it knows that this has come. */
	if (!s->sniff->acking)
		conn_ack_at_once(s->client_conn.fd);
	s->sniff->acking = true;
	if (says_too_little(s) || sniff_awaits_settings(s))
		arm(s);
	if (step == STEP_MORE && s->client_conn.readable)
		loop_again(s->home->loop, &s->sniff->again);
}

static void on_again(struct task *t)
{
	struct session *s = container_of(t, struct sniff_state, again)->session;

	if (s->state == SESSION_LIVE)
		readable(s);
}

static void event(struct session *s, struct conn *c, uint32_t events)
{
	int err = events & EPOLLERR ? conn_error(c->fd) : 0;

	conn_input_event(c, events);
	if (err)
		session_end(s, session_end_by(SIDE_CLIENT, err));
	else if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		readable(s);
}

/* ---- the protocol ----------------------------------------------------------------------- */

static const char *describe(const struct session *s _unused_)
{
	return "sniffing";
}

static void conn_failed(struct session *s, struct conn *c, int err)
{
	session_end(s, session_end_by(c->side, err));
}

static bool session_ended(struct session *s)
{
	sniff_done(s);
	return false;
}

static const struct protocol protocol_sniff = {
    .describe = describe,
    .event = event,
    .timeout = timeout,
    .conn_failed = conn_failed,
    .ended = session_ended,
};

void sniff_start(struct session *s)
{
	const struct listener_config *c = s->listener->config;

	session_speak(s, &protocol_sniff);
	if (c->protocol == PROTOCOL_TCP && c->accept_proxy == PROXY_ACCEPT_NO) {
		(void)sniff_as_tcp(s);
		return;
	}
	s->sniff = calloc(1, sizeof(*s->sniff));
	if (!s->sniff) {
		session_end(s, END_LIMIT);
		return;
	}
	s->sniff->session = s;
	s->sniff->again.run = on_again;
	s->sniff->heard_ns = s->home->loop->now;
	arm(s);
	sniff_wait(s);
}

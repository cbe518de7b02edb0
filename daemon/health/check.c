// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../config/units.h"
#include "../conn.h"
#include "../timer.h"

/* A unix server's backlog is full: nothing tells when it is not. */
#define ROOM_RETRY_NS (20 * NSEC_PER_MSEC)

/* The timer's place is reserved from the beginning: it cannot fail. */
static void set_timer(struct check *c, uint64_t ns)
{
	const struct timeval tv = timeval_of(ns);

	(void)evtimer_add(c->timer, &tv);
}

/* ---- its end ---------------------------------------------------------------------------- */

static void stop(struct check *c)
{
	if (c->io)
		event_free(c->io);
	c->io = NULL;
	closep_(&c->fd);
	c->fd = -1;
}

/* The owner is told in a turn of the base's own. */
static void finish(struct check *c)
{
	stop(c);
	c->over = true;
	c->result.at_ns = now_ns();
	c->result.took_ns = c->result.at_ns - c->began_ns;
	set_timer(c, 0);
}

static void conclude(struct check *c, enum check_outcome outcome, const char *fmt, ...)
    _printf_(3, 4);
static void conclude(struct check *c, enum check_outcome outcome, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(c->result.words, sizeof(c->result.words), fmt, args);
	va_end(args);
	c->result.outcome = outcome;
	c->known = true;
	finish(c);
}

static void time_out(struct check *c)
{
	static const char *const doing[] = {
	    [CHECK_CONNECTING] = "connecting",
	    [CHECK_SENDING] = "sending",
	    [CHECK_READING] = "waiting for the answer",
	};
	char time[UNITS_STR_MAX];

	conclude(c, CHECK_TIMEOUT, "timeout after %s, %s", units_format_duration(c->timeout, time),
		 doing[c->phase]);
}

/* ---- what comes back -------------------------------------------------------------------- */

static void judge_status(struct check *c, unsigned int status)
{
	const struct statuses *good = &c->expected;
	char list[CHECK_WORDS_MAX] = "";
	FILE *f;

	if (statuses_has(good, status)) {
		conclude(c, CHECK_PASSED, "HTTP status %u", status);
		return;
	}
	f = fmemopen(list, sizeof(list), "w");
	if (f) {
		statuses_format(good, ", ", f);
		(void)fclose(f);
	}
	conclude(c, CHECK_STATUS, "HTTP status %u, expected %.48s%s", status, list,
		 strlen(list) > 48 ? "..." : "");
}

static void judge(struct check *c)
{
	bool http = c->kind == HEALTH_CHECK_HTTP;
	unsigned int status;
	int alert = -1;
	enum answer a =
	    http ? answer_http(c->answer, c->got, &status) : answer_tls(c->answer, c->got, &alert);

	if (a == ANSWER_GOOD && http)
		judge_status(c, status);
	else if (a == ANSWER_GOOD)
		conclude(c, CHECK_PASSED, "TLS ServerHello");
	else if (a == ANSWER_BAD && alert >= 0)
		conclude(c, CHECK_INVALID, "TLS alert %d instead of a ServerHello", alert);
	else if (a == ANSWER_BAD)
		conclude(c, CHECK_INVALID, "the answer is not %s", http ? "HTTP/1" : "TLS");
}

static void read_answer(struct check *c)
{
	ssize_t n = recv(c->fd, c->answer + c->got, sizeof(c->answer) - c->got, MSG_DONTWAIT);

	if (n > 0) {
		c->got += (size_t)n;
		judge(c);
	} else if (n == 0) {
		conclude(c, CHECK_CLOSED, "closed %s",
			 c->got ? "within its answer" : "without an answer");
	} else if (errno != EAGAIN && errno != EINTR) {
		conclude(c, CHECK_CLOSED, "reading: %s", conn_strerror(errno));
	}
}

/* ---- the way there ---------------------------------------------------------------------- */

static void on_io(evutil_socket_t fd, short what, void *arg);

/* Has the socket watched for what the phase waits for. */
static void await(struct check *c, short what)
{
	if (c->io)
		event_free(c->io);
	c->io = event_new(c->base, c->fd, (short)(what | EV_PERSIST), on_io, c);
	if (!c->io || event_add(c->io, NULL) < 0)
		finish(c);
}

static void send_question(struct check *c)
{
	while (c->sent < c->len) {
		ssize_t n = send(c->fd, c->question + c->sent, c->len - c->sent, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			conclude(c, CHECK_CLOSED, "sending: %s", conn_strerror(errno));
			return;
		}
		c->sent += (size_t)n;
	}
	if (c->kind == HEALTH_CHECK_TCP) {
		conclude(c, CHECK_PASSED, "connected");
		return;
	}
	c->phase = CHECK_READING;
	await(c, EV_READ);
}

static void on_io(evutil_socket_t fd, short what _unused_, void *arg)
{
	struct check *c = arg;
	int err;

	if (c->phase == CHECK_READING) {
		read_answer(c);
		return;
	}
	if (c->phase == CHECK_CONNECTING) {
		err = conn_error(fd);
		if (err) {
			conclude(c, CHECK_REFUSED, "connecting: %s", conn_strerror(err));
			return;
		}
		c->phase = CHECK_SENDING;
	}
	send_question(c);
}

/* Ours, whomever we call. */
static bool is_shortage(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS ||
	       err == EADDRNOTAVAIL;
}

static uint64_t time_left(const struct check *c)
{
	uint64_t gone = now_ns() - c->began_ns, all = c->timeout;

	return gone < all ? all - gone : 0;
}

static void start(struct check *c)
{
	int fd = conn_dial(&c->turn.where, NULL, c->len > 0, NULL, NULL, NULL);

	if (fd >= 0) {
		c->fd = fd;
		set_timer(c, time_left(c));
		await(c, EV_WRITE);
	} else if (fd == -EAGAIN && time_left(c) > 0) {
		set_timer(c, MIN(ROOM_RETRY_NS, time_left(c)));
	} else if (is_shortage(-fd)) {
		finish(c);
	} else {
		conclude(c, CHECK_REFUSED, "connecting: %s", conn_strerror(-fd));
	}
}

/* Whether it goes on for a moment: a server whose connection was made while this thread did not run
 * has been asked only now. */
static bool is_extended(struct check *c)
{
	uint64_t more = c->extended ? 0 : timer_owes(c->began_ns + c->timeout, now_ns());

	if (!more)
		return false;
	c->extended = true;
	set_timer(c, more);
	return true;
}

static void on_timer(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct check *c = arg;

	if (c->over)
		c->done(c, c->known ? &c->result : NULL);
	else if (c->fd < 0)
		start(c);
	else if (!is_extended(c))
		time_out(c);
}

/* ---- life ------------------------------------------------------------------------------- */

struct check *check_begin(struct event_base *base, const struct pool_config *pool, const char *text,
			  const struct check_turn *turn,
			  void (*done)(struct check *, const struct check_result *), void *owner)
{
	struct check *c = malloc(sizeof(*c));
	const struct timeval now = {0};

	if (!c)
		return NULL;
	memset(c, 0, offsetof(struct check, question));
	c->kind = pool->health_check;
	c->timeout = pool->health_timeout;
	c->expected = pool->health_status;
	c->turn = *turn;
	c->done = done;
	c->owner = owner;
	c->fd = -1;
	c->base = base;
	c->began_ns = now_ns();
	c->len = question_build(c->question, pool, text);
	c->timer = evtimer_new(base, on_timer, c);
	/* Its first call starts it. */
	if (c->timer && evtimer_add(c->timer, &now) == 0)
		return c;
	check_free(c);
	return NULL;
}

void check_free(struct check *c)
{
	if (!c)
		return;
	stop(c);
	if (c->timer)
		event_free(c->timer);
	free(c);
}

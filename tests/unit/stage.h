/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon of one worker whose turns the test runs itself, with a clock of its own: sockets are
 * real ones on the loopback interface, and so is epoll, but no time passes unless the test says so.
 */
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../daemon/accept.h"
#include "../../daemon/binding.h"
#include "../../daemon/config/config.h"
#include "../../daemon/daemon.h"
#include "../../daemon/listener.h"
#include "../../daemon/log.h"
#include "../../daemon/session.h"
#include "../../daemon/setup.h"
#include "../../daemon/util.h"
#include "../../daemon/worker.h"

/* What comes over the loopback interface is there by then; nothing is waited for longer. */
#define STAGE_WAIT_MS 2000

struct stage {
	struct daemon daemon;
	int server; /* listens: the pool's only server */
};

static inline struct worker *stage_worker(struct stage *st)
{
	return &st->daemon.workers[0];
}

static inline int stage_listen(struct addr *where)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*where = (struct addr){.len = sizeof(struct sockaddr_in)};
	where->in4.sin_family = AF_INET;
	where->in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &where->sa, where->len), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, &where->sa, &where->len), 0);
	return fd;
}

/* `options` are lines of the listener; its pool has one server, which the test is. */
static inline void stage_begin(struct stage *st, const char *options)
{
	char text[2048], server[ADDR_STR_MAX], *messages = NULL;
	struct addr where;
	struct config *config = NULL;
	FILE *stream, *errors;
	size_t size;

	*st = (struct stage){.server = stage_listen(&where)};
	(void)snprintf(text, sizeof(text),
		       "[spliced]\nengine = copy\naccess_log = no\nmax_sessions = 16\n"
		       "[listener l]\nbind = 127.0.0.1:0\npool = p\n%s\n"
		       "[pool p]\nserver = a %s\n",
		       options, addr_format(&where, server));
	stream = fmemopen(text, strlen(text), "r");
	errors = open_memstream(&messages, &size);
	assert_non_null(stream);
	assert_non_null(errors);
	if (config_load_stream("t.conf", stream, &config, errors) < 0) {
		(void)fflush(errors);
		fail_msg("%s", messages);
	}
	assert_int_equal(fclose(errors), 0);
	assert_int_equal(fclose(stream), 0);
	free(messages);
	log_setup(LOG_TO_STDERR, LOG_LVL_ERROR);
	assert_int_equal(daemon_init(&st->daemon, config, 1), 0);
	assert_int_equal(daemon_listen(&st->daemon), 0);
	assert_int_equal(worker_init(stage_worker(st), &st->daemon, 0), 0);
	worker_adopt(stage_worker(st), setup_ref(st->daemon.setup));
	/* Timers need no wake-up, tasks no event. */
	stage_worker(st)->loop.in_turn = true;
}

/* Every session has ended by then, and every place is free again. */
static inline void stage_end(struct stage *st)
{
	assert_true(TAILQ_EMPTY(&stage_worker(st)->home.live));
	assert_int_equal(slots_used(&st->daemon.slots), 0);
	assert_int_equal(atomic_load(&st->daemon.setup->listeners[0].account->active), 0);
	assert_int_equal(atomic_load(&st->daemon.setup->listeners[0].account->places), 0);
	daemon_fini(&st->daemon);
	assert_int_equal(close(st->server), 0);
}

/* ---- turns ------------------------------------------------------------------------------ */

/* One turn of the loop: what epoll reports within `ms`, tasks, and its end. Whether there was
 * anything to do. */
static inline bool stage_turn(struct stage *st, int ms)
{
	struct loop *l = &stage_worker(st)->loop;
	struct epoll_event events[16];
	struct task *t;
	int n = epoll_wait(l->poll_fd, events, 16, TAILQ_EMPTY(&l->again) ? ms : 0);
	bool busy = n > 0;

	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		if (events[i].data.ptr != &l->timer_fd && c->event)
			c->event(c, events[i].events);
	}
	for (uint32_t k = l->n_again; k && (t = TAILQ_FIRST(&l->again)); k--) {
		busy = true;
		loop_not_again(l, t);
		t->run(t);
	}
	l->over(l);
	return busy;
}

/* Turns until nothing happens any more. */
static inline void stage_settle(struct stage *st)
{
	while (stage_turn(st, 5))
		;
}

/* So much later: what is due by then is done at its time, in its order. */
static inline void stage_pass(struct stage *st, uint64_t ns)
{
	struct loop *l = &stage_worker(st)->loop;
	uint64_t until = l->now + ns;
	const struct timer *first;

	while ((first = l->timers.first) && first->at <= until) {
		l->now = MAX(first->at, l->now);
		(void)timers_fire(&l->timers, l->now);
		stage_settle(st);
	}
	l->now = until;
}

/* ---- peers ------------------------------------------------------------------------------ */

/* A text is sent when it is said, whatever of the last one is acknowledged. */
static inline void stage_prompt(int fd)
{
	int one = 1;

	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
}

/* A client has connected. */
static inline int stage_connect(struct stage *st)
{
	const struct binding *b = st->daemon.setup->listeners[0].bindings[0];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, &b->bound.sa, b->bound.len), 0);
	stage_prompt(fd);
	return fd;
}

/* The first client that waits: its session begins. */
static inline void stage_accept(struct stage *st)
{
	struct listener *l = &st->daemon.setup->listeners[0];
	const struct binding *b = l->bindings[0];
	struct addr client = {.len = sizeof(struct sockaddr_in)};
	uint32_t slot = slots_take(&st->daemon.slots);
	int accepted;

	accepted = accept4(b->sockets[0].fd, &client.sa, &client.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(accepted >= 0);
	assert_true(listener_reserve(l));
	slots_use(&st->daemon.slots);
	listener_session_begins(l);
	accept_session(stage_worker(st), l, accepted, slot, &client, false);
}

/* A client has connected, and its session begun. */
static inline int stage_client(struct stage *st)
{
	int fd = stage_connect(st);

	stage_accept(st);
	return fd;
}

/* The peer goes, and what it has not read is no matter. */
static inline void stage_reset(int fd)
{
	const struct linger hard = {.l_onoff = 1};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	assert_int_equal(close(fd), 0);
}

/* The worker has dialled: the server's end. */
static inline int stage_server(struct stage *st)
{
	struct pollfd p = {.fd = st->server, .events = POLLIN};
	int fd;

	stage_settle(st);
	assert_int_equal(poll(&p, 1, STAGE_WAIT_MS), 1);
	fd = accept4(st->server, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	stage_prompt(fd);
	stage_settle(st);
	return fd;
}

static inline bool stage_is_dialled(struct stage *st)
{
	struct pollfd p = {.fd = st->server, .events = POLLIN};

	stage_settle(st);
	return poll(&p, 1, 0) == 1;
}

/* Sends a text, all of it, and lets the worker have it. */
static inline void stage_say(struct stage *st, int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	stage_settle(st);
}

/* What has come for a peer is put behind text[len], which holds `size` bytes. How its stream ended:
 * 0: it has not, 1: properly, a negative errno otherwise. */
static inline int stage_take(struct stage *st, int fd, char *text, size_t len, size_t size)
{
	ssize_t n;

	stage_settle(st);
	while ((n = recv(fd, text + len, size - 1 - len, MSG_DONTWAIT)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	if (n == 0)
		return 1;
	return errno == EAGAIN ? 0 : -errno;
}

/* What has come until that is in it; its stream goes on. */
static inline const char *stage_heard(struct stage *st, int fd, const char *what)
{
	static char text[8192];
	int end = stage_take(st, fd, text, 0, sizeof(text));

	for (int waited = 0; !end && !strstr(text, what) && waited < STAGE_WAIT_MS; waited += 10) {
		(void)poll(NULL, 0, 10);
		end = stage_take(st, fd, text, strlen(text), sizeof(text));
	}
	assert_int_equal(end, 0);
	assert_non_null(strstr(text, what));
	return text;
}

/* What has come until its stream ended in that way: 1 or -ECONNRESET. An end may wait until it is
 * known that what is before it has arrived. */
static inline const char *stage_heard_last(struct stage *st, int fd, int how)
{
	static char text[8192];
	int end = stage_take(st, fd, text, 0, sizeof(text));

	for (int waited = 0; !end && waited < STAGE_WAIT_MS; waited += 10) {
		(void)poll(NULL, 0, 10);
		stage_pass(st, 10 * NSEC_PER_MSEC);
		end = stage_take(st, fd, text, strlen(text), sizeof(text));
	}
	assert_int_equal(end, how);
	return text;
}

/* These bytes have come, and nothing else; the stream goes on. */
static inline void stage_hears(struct stage *st, int fd, const char *text)
{
	assert_string_equal(stage_heard(st, fd, text), text);
}

/* These are the last bytes. */
static inline void stage_hears_last(struct stage *st, int fd, const char *text, int how)
{
	assert_string_equal(stage_heard_last(st, fd, how), text);
}

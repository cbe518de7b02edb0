/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "../../daemon/util.h"
#include "run.h"

const char *const ending_str[_END_MAX] = {
    [END_OPEN] = "open",
    [END_EOF] = "eof",
    [END_CLOSED] = "closed",
    [END_RST] = "rst",
    [END_RESET_SENT] = "reset_sent",
    [END_REFUSED] = "refused",
    [END_TIMEOUT] = "timeout",
    [END_ERROR] = "error",
};

void endpoint_init(struct endpoint *ep, struct run *run, enum side side, uint32_t number)
{
	const struct options *o = &run->opt;
	bool client = side == SIDE_CLIENT;

	*ep = (struct endpoint){.side = side, .fd = -1, .number = number};
	ep->tx.total = client ? o->bytes_up : o->bytes_down;
	ep->rx.total = client ? o->bytes_down : o->bytes_up;
	if (!client && !options_by_accept(o))
		return; /* sessions_join() tells it what to send */
	pattern_init(&ep->tx.pattern, o->seed, number, client ? PATTERN_UP : PATTERN_BY_ACCEPT);
	ep->tx.known = true;
}

static void set_option(int fd, int level, int name, int value)
{
	if (value && setsockopt(fd, level, name, &value, sizeof(value)) < 0 && errno != EOPNOTSUPP)
		perror("spliced-load: setsockopt");
}

/* Keeps epoll's view of the socket at what the endpoint can use, so that it never spins. */
static void watch(struct endpoint *ep, const struct run *run, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = ep};
	int op = ep->events ? (events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL) : EPOLL_CTL_ADD;

	if (events == ep->events)
		return;
	if (epoll_ctl(run->epoll, op, ep->fd, &ev) < 0) {
		perror("spliced-load: epoll_ctl");
		exit(1);
	}
	ep->events = events;
}

void endpoint_attach(struct endpoint *ep, struct run *run, int fd, bool connecting)
{
	ep->fd = fd;
	ep->connecting = connecting;
	ep->rx.started = now_ns();
	set_option(fd, SOL_SOCKET, SO_RCVBUF, run->opt.rcvbuf);
	set_option(fd, SOL_SOCKET, SO_SNDBUF, run->opt.sndbuf);
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, run->opt.nodelay);
	watch(ep, run, connecting ? EPOLLOUT : EPOLLIN | EPOLLOUT);
}

void endpoint_end(struct endpoint *ep, struct run *run, enum ending ending, int err)
{
	struct linger reset = {.l_onoff = 1};

	if (ep->ending != END_OPEN)
		return;
	ep->ending = ending;
	if (ep->err == 0)
		ep->err = err;
	if (ep->fd >= 0) {
		if (ending == END_RESET_SENT)
			(void)setsockopt(ep->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		(void)close(ep->fd);
		ep->fd = -1;
	}
	if (ep->sleeping)
		TAILQ_REMOVE(&run->sleepers, ep, sleeper);
	ep->sleeping = false;
	if (ep->side == SIDE_CLIENT)
		run->n_clients_ended++;
	else
		run->n_servers_ended++;
}

static bool finish_connect(struct endpoint *ep, struct run *run, uint32_t revents)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (!(revents & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return false;
	(void)getsockopt(ep->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		endpoint_end(ep, run, END_REFUSED, err);
		return false;
	}
	ep->connecting = false;
	return true;
}

/* An error that arrives while nothing is to be read or written. */
static void take_error(struct endpoint *ep, struct run *run)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (reader_allowance(ep, run, now_ns()))
		return; /* the reader sees it, after the bytes before it */
	(void)getsockopt(ep->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		ep->tx.dead = true;
		if (ep->err == 0)
			ep->err = err;
	}
}

/* Ends the endpoint if its part of the scenario is over. */
static void settle(struct endpoint *ep, struct run *run)
{
	const struct options *o = &run->opt;

	if (o->rst == ep->side && ep->tx.sent + ep->rx.received >= o->rst_at)
		endpoint_end(ep, run, END_RESET_SENT, 0);
	else if (ep->rx.eof && ep->tx.dead)
		endpoint_end(ep, run, END_RST, 0);
	else if (ep->rx.eof && ep->tx.fin)
		endpoint_end(ep, run, END_EOF, 0);
	else if (ep->rx.eof && o->half_close == SIDE_NONE)
		endpoint_end(ep, run, END_EOF, 0);
	else if (o->half_close == SIDE_NONE && ep->side == SIDE_CLIENT && o->rst == SIDE_NONE &&
		 ep->tx.sent == ep->tx.total && ep->rx.received >= ep->rx.total &&
		 (run->released || !o->idle))
		endpoint_end(ep, run, END_CLOSED, 0);
}

uint64_t endpoint_wake_time(const struct endpoint *ep)
{
	uint64_t rx = ep->rx.not_before && !ep->rx.eof ? ep->rx.not_before : UINT64_MAX;
	uint64_t tx = ep->tx.not_before && !ep->tx.fin ? ep->tx.not_before : UINT64_MAX;

	return MIN(rx, tx);
}

/* Pauses that are over; those that end during a step are the next one's, which may have a stream to
 * end. */
static void end_pauses(struct endpoint *ep)
{
	uint64_t now = now_ns();

	if (ep->rx.not_before <= now)
		ep->rx.not_before = 0;
	if (ep->tx.not_before <= now)
		ep->tx.not_before = 0;
}

/* What to wait for next: readiness, the end of a pause, or neither (`resume`, the other half). */
static void rearm(struct endpoint *ep, struct run *run, uint32_t revents)
{
	uint64_t now = now_ns();
	uint32_t events = 0;
	bool sleep;

	if (reader_allowance(ep, run, now))
		events |= EPOLLIN;
	if (ep->connecting || writer_allowance(ep, run, now))
		events |= EPOLLOUT;
	/* Error and hang-up are always reported: with nothing else to wait for, that would spin.
	 * Until then an endpoint that only waits stays, so that it does see the reset. */
	if (events == 0 && !(revents & (EPOLLERR | EPOLLHUP)) && !ep->tx.dead)
		events = EPOLLET;
	watch(ep, run, events);

	sleep = endpoint_wake_time(ep) != UINT64_MAX;
	if (sleep && !ep->sleeping)
		TAILQ_INSERT_TAIL(&run->sleepers, ep, sleeper);
	else if (!sleep && ep->sleeping)
		TAILQ_REMOVE(&run->sleepers, ep, sleeper);
	ep->sleeping = sleep;
}

void endpoint_step(struct endpoint *ep, struct run *run, uint32_t revents)
{
	if (ep->ending != END_OPEN)
		return;
	if (ep->connecting && !finish_connect(ep, run, revents))
		return;
	end_pauses(ep);
	reader_run(ep, run);
	if (ep->ending == END_OPEN)
		writer_run(ep, run);
	if (ep->ending == END_OPEN && (revents & EPOLLERR))
		take_error(ep, run);
	if (ep->ending == END_OPEN)
		settle(ep, run);
	if (ep->ending == END_OPEN)
		rearm(ep, run, revents);
}

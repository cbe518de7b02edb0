/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opens sessions, finds out which server end belongs to which client end, and judges them. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../daemon/util.h"
#include "run.h"

#define GRACE         (3 * NSEC_PER_SEC) /* for a server end to appear after its client is gone */
#define EARLY_CONNECT 5000               /* ms */

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "spliced-load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int stream_socket(const struct address *a)
{
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

void sessions_listen(struct run *run)
{
	const struct options *o = &run->opt;

	for (unsigned int i = 0; i < o->n_listen; i++) {
		struct address *a = &run->backends[i];
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &run->listeners[i]};
		int on = 1, fd;

		if (!address_parse(o->listen[i], a)) {
			fprintf(stderr, "spliced-load: \"%s\" is no address\n", o->listen[i]);
			exit(2);
		}
		fd = stream_socket(a);
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		/* Before listen(), so that it decides the window of accepted sockets. */
		if (o->rcvbuf)
			(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &o->rcvbuf, sizeof(o->rcvbuf));
		if (bind(fd, &a->sa, a->len) < 0 || listen(fd, 4096) < 0)
			die(o->listen[i]);
		if (a->sa.sa_family != AF_UNIX) {
			a->len = sizeof(a->in6);
			(void)getsockname(fd, &a->sa, &a->len);
		}
		run->listeners[i] = fd;
		if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
			die("epoll_ctl");
	}
}

static struct endpoint *add_server(struct run *run)
{
	if (run->n_servers == run->servers_size) {
		run->servers_size = run->servers_size ? run->servers_size * 2 : 64;
		run->servers = realloc(run->servers, run->servers_size * sizeof(*run->servers));
		if (!run->servers)
			die("realloc");
	}
	run->servers[run->n_servers] = malloc(sizeof(struct endpoint));
	if (!run->servers[run->n_servers])
		die("malloc");
	endpoint_init(run->servers[run->n_servers], run, SIDE_SERVER, run->n_servers);
	return run->servers[run->n_servers++];
}

void sessions_accept(struct run *run, int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct endpoint *ep = add_server(run);

		endpoint_attach(ep, run, fd, false);
		endpoint_step(ep, run, 0);
	}
	if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		die("accept");
}

static void prepare_client(struct run *run, uint32_t number)
{
	const struct options *o = &run->opt;
	struct endpoint *ep = &run->clients[number];

	endpoint_init(ep, run, SIDE_CLIENT, number);
	if (options_by_accept(o))
		return; /* the head says which stream comes */
	pattern_init(&ep->rx.pattern, o->seed, number, o->echo ? PATTERN_UP : PATTERN_DOWN);
	ep->rx.known = true;
}

/* Waits, briefly, for the handshake, which the kernel completes before the proxy accepts. */
static bool wait_connected(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return poll(&p, 1, EARLY_CONNECT) == 1 && !(p.revents & (POLLERR | POLLHUP));
}

/* False if the socket cannot be had now (a unix listener's queue is full). */
static bool open_client(struct run *run)
{
	uint32_t number = run->n_opened;
	const struct address *a = &run->targets[number % run->n_targets];
	struct endpoint *ep = &run->clients[number];
	int fd = stream_socket(a), err;
	bool connecting;

	/* Before connect(): the size decides the window scale. */
	if (run->opt.rcvbuf)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &run->opt.rcvbuf, sizeof(int));
	err = connect(fd, &a->sa, a->len) < 0 ? errno : 0;
	if (err == EAGAIN) {
		(void)close(fd);
		return false;
	}
	prepare_client(run, number);
	run->n_opened++;
	if (err && err != EINPROGRESS) {
		(void)close(fd);
		endpoint_end(ep, run, END_REFUSED, err);
		return true;
	}
	connecting = err == EINPROGRESS && !(run->opt.early_data && wait_connected(fd));
	endpoint_attach(ep, run, fd, connecting);
	if (!connecting)
		endpoint_step(ep, run, 0);
	return true;
}

bool sessions_open(struct run *run)
{
	while (run->n_opened < run->opt.sessions &&
	       run->n_opened - run->n_clients_ended < run->opt.concurrency) {
		if (!open_client(run))
			return false;
	}
	return true;
}

static bool mix_up(struct run *run, const struct endpoint *ep)
{
	report_stream(run, ep, "mix-up", 0);
	return false;
}

bool sessions_join(struct run *run, struct endpoint *ep, enum pattern_dir dir, uint32_t number)
{
	bool server = ep->side == SIDE_SERVER;
	struct endpoint *other;

	if (dir != (server ? PATTERN_UP : PATTERN_BY_ACCEPT) ||
	    number >= (server ? run->n_opened : run->n_servers))
		return mix_up(run, ep);
	other = server ? &run->clients[number] : run->servers[number];
	if ((other->other && other->other != ep) || (ep->other && ep->other != other))
		return mix_up(run, ep);
	ep->other = other;
	other->other = ep;
	if (!ep->tx.known) {
		dir = run->opt.echo ? PATTERN_UP : PATTERN_DOWN;
		pattern_init(&ep->tx.pattern, run->opt.seed, number, dir);
		ep->tx.known = true;
	}
	return true;
}

bool sessions_finished(struct run *run)
{
	uint64_t now = now_ns();

	if (run->n_clients_ended < run->opt.sessions)
		return false;
	if (run->ended == 0)
		run->ended = now;
	for (unsigned int i = 0; i < run->opt.sessions; i++) {
		const struct endpoint *ep = &run->clients[i];
		bool appears = ep->ending != END_REFUSED && ep->ending != END_ERROR;

		if (ep->other ? ep->other->ending == END_OPEN : appears && now < run->ended + GRACE)
			return false;
	}
	run->ended = now;
	return true;
}

bool sessions_idle(const struct run *run)
{
	const struct options *o = &run->opt;

	if (run->n_opened < o->sessions)
		return false;
	for (unsigned int i = 0; i < o->sessions; i++) {
		const struct endpoint *ep = &run->clients[i];
		bool joined = ep->other && ep->other->rx.received >= MIN(IDLE_BYTES, o->bytes_up);

		/* One that ended will not idle: waiting for it would hide that it ended. */
		if (ep->ending == END_OPEN &&
		    (!joined || ep->rx.received < MIN(IDLE_BYTES, o->bytes_down)))
			return false;
	}
	return true;
}

/* Null if this end did what the scenario expects of it. */
static const char *judge_end(const struct run *run, const struct endpoint *ep)
{
	const struct options *o = &run->opt;
	bool client = ep->side == SIDE_CLIENT;
	const struct address *a = client ? &run->targets[ep->number % run->n_targets] : NULL;
	bool is_unix = a ? a->sa.sa_family == AF_UNIX : run->backends[0].sa.sa_family == AF_UNIX;

	if (ep->rx.broken)
		return client ? "client got wrong bytes" : "server got wrong bytes";
	if (ep->rx.received > ep->rx.total)
		return client ? "client got too many bytes" : "server got too many bytes";
	if (o->rst == ep->side)
		return ep->ending == END_RESET_SENT ? NULL : "end came before the reset";
	if (o->rst < SIDE_BOTH) {
		/* There is no reset on a unix socket: its end is all that can be seen. */
		if (ep->ending == END_RST || (is_unix && ep->ending == END_EOF))
			return NULL;
		return client ? "client saw no reset" : "server saw no reset";
	}
	if (ep->rx.received < ep->rx.total)
		return client ? "client got too few bytes" : "server got too few bytes";
	if (ep->ending == END_EOF || (client && ep->ending == END_CLOSED))
		return NULL;
	return client ? "client ended wrongly" : "server ended wrongly";
}

static void judge(struct run *run, struct endpoint *client)
{
	const char *why = judge_end(run, client);

	if (!why && client->other)
		why = judge_end(run, client->other);
	if (!client->other) {
		run->report.n_unmatched++;
		/* A proxy need not dial for a client that has gone. */
		if (!why && run->opt.rst != SIDE_CLIENT)
			why = "no server end";
	}
	if (why)
		report_failure(run, client, why);
	else
		run->report.n_ok++;
}

/* A stream that ended too early without an error says where. */
static void report_truncated(struct run *run, const struct endpoint *ep)
{
	if (run->opt.rst == SIDE_NONE && ep->rx.eof && !ep->rx.broken &&
	    ep->rx.received < ep->rx.total)
		report_stream(run, ep, "truncated", ep->rx.received);
}

void sessions_judge(struct run *run)
{
	if (run->ended == 0)
		run->ended = now_ns();
	for (unsigned int i = run->n_opened; i < run->opt.sessions; i++)
		prepare_client(run, i);
	for (unsigned int i = 0; i < run->n_servers; i++) {
		endpoint_end(run->servers[i], run, END_TIMEOUT, 0);
		if (!run->servers[i]->other)
			run->report.n_strays++;
		else
			report_truncated(run, run->servers[i]);
	}
	for (unsigned int i = 0; i < run->opt.sessions; i++) {
		endpoint_end(&run->clients[i], run, END_TIMEOUT, 0);
		report_truncated(run, &run->clients[i]);
		judge(run, &run->clients[i]);
	}
	for (unsigned int i = 0; i < run->opt.n_listen; i++) {
		if (run->backends[i].sa.sa_family == AF_UNIX && run->backends[i].un.sun_path[0])
			(void)unlink(run->backends[i].un.sun_path);
	}
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "conn.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "intercept-api.h"
#include "ledger.h"
#include "tcpstate.h"
#include "util.h"

/* The system's choice of congestion control is one that sends at a pace: not for loopback. */
static bool system_paces;
/* How long a connection is silent before the system's keepalive asks. */
static uint64_t system_keepalive_ns = 7200 * NSEC_PER_SEC;

/* The kernel of a container may show no such file: then it is the kernel's default. */
static void read_keepalive_time(void)
{
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_keepalive_time", "re");
	char text[32] = "";
	uint64_t seconds;

	if (!f)
		return;
	if (fgets(text, sizeof(text), f)) {
		seconds = strtoull(text, NULL, 10);
		if (seconds)
			system_keepalive_ns = seconds * NSEC_PER_SEC;
	}
	(void)fclose(f);
}

void conn_setup(bool keep_system_congestion)
{
	char name[32] = "";
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_congestion_control", "re");

	if (f && !fgets(name, sizeof(name), f))
		name[0] = '\0';
	if (f)
		(void)fclose(f);
	system_paces = !keep_system_congestion && strncmp(name, "bbr", 3) == 0;
	read_keepalive_time();
}

/* "reno" is in every kernel and allowed to everybody. A failure leaves the system's choice. */
static void set_congestion(int fd, const struct addr *where)
{
	static const char name[] = "reno";

	if (system_paces && addr_is_loopback(where))
		(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, sizeof(name) - 1);
}

void conn_accepted(int fd, const struct addr *bound, const struct addr *client)
{
	if (!addr_is_loopback(bound))
		set_congestion(fd, client);
}

/*
 * SO_OOBINLINE: the kernel's own path moves an urgent byte as part of the stream, so the copy
 * engine must not leave it out either.
 */
int conn_listen_options(int fd, const struct addr *where)
{
	int one = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)) < 0)
		return -errno;
	set_congestion(fd, where);
	return 0;
}

struct conn *conn_new(void)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->fd = -1;
	c->side = SIDE_BACKEND;
	return c;
}

void conn_free(struct conn *c)
{
	if (!c)
		return;
	free(c->kept);
	free(c);
}

bool conn_wants_keepalive(const struct tcp_keepalive *k, uint64_t silence)
{
	return k->mode == TCP_KEEPALIVE_YES ||
	       (k->mode == TCP_KEEPALIVE_AUTO && silence > system_keepalive_ns);
}

static int set_tcp(int fd, int name, unsigned int value)
{
	int n = (int)value;

	return value && setsockopt(fd, IPPROTO_TCP, name, &n, sizeof(n)) < 0 ? -errno : 0;
}

int conn_set_keepalive(int fd, const struct tcp_keepalive *k)
{
	int one = 1, err;

	/* The times first: an idle time that is set later starts the timer once more. */
	err = set_tcp(fd, TCP_KEEPIDLE, k->idle);
	if (!err)
		err = set_tcp(fd, TCP_KEEPINTVL, k->interval);
	if (!err)
		err = set_tcp(fd, TCP_KEEPCNT, k->count);
	if (!err && setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) < 0)
		err = -errno;
	return err;
}

/* What the system has: a new socket knows it. */
static unsigned int system_tcp(int family, int name)
{
	_cleanup_close_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = 0;
	socklen_t len = sizeof(n);

	return fd >= 0 && getsockopt(fd, IPPROTO_TCP, name, &n, &len) == 0 ? (unsigned int)n : 0;
}

int conn_change_keepalive(int fd, const struct tcp_keepalive *k)
{
	int off = 0, family = AF_INET;
	socklen_t len = sizeof(family);
	struct tcp_keepalive all;

	if (!k)
		return setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &off, sizeof(off)) < 0 ? -errno : 0;
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) < 0)
		return -errno;
	all = *k;
	if (!all.idle)
		all.idle = system_tcp(family, TCP_KEEPIDLE);
	if (!all.interval)
		all.interval = system_tcp(family, TCP_KEEPINTVL);
	if (!all.count)
		all.count = system_tcp(family, TCP_KEEPCNT);
	return conn_set_keepalive(fd, &all);
}

static void set_quickack(int fd, int on)
{
	(void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

void conn_ack_with_answer(int fd)
{
	set_quickack(fd, 0);
}

void conn_ack_at_once(int fd)
{
	set_quickack(fd, 1);
}

/*
 * Whether this host has an address to call that one from: without one (IPv6 is off, say) connect()
 * gives the same error as without a free port. A socket of UDP sends nothing when it connects.
 */
static bool has_source(const struct addr *where)
{
	_cleanup_close_ int fd =
	    socket(where->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 || connect(fd, &where->sa, where->len) == 0 || errno != EADDRNOTAVAIL;
}

/* 0: the connection is made, or being made. Or a negative errno. */
static int start_connect(int fd, const struct addr *where)
{
	int r;

	/* A unix socket's connect() that was interrupted has not begun; TCP's goes on. */
	do
		r = connect(fd, &where->sa, where->len);
	while (r < 0 && errno == EINTR && where->sa.sa_family == AF_UNIX);
	if (r == 0 || errno == EINPROGRESS || errno == EINTR)
		return 0;
	if (errno != EADDRNOTAVAIL)
		return -errno;
	return has_source(where) ? -EADDRNOTAVAIL : -EAFNOSUPPORT;
}

/* See conn_need_mark(). */
static bool mark_needed;

void conn_need_mark(void)
{
	mark_needed = true;
}

static int check_mark(int fd)
{
	socklen_t len = sizeof(int);
	int priority = 0;

	if (!mark_needed)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, &len) < 0)
		return -errno;
	return priority == (int)INTERCEPT_MARK ? 0 : -EXDEV;
}

void conn_stay_apart(int fd)
{
	int one = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one));
}

int conn_dial(const struct addr *where, const struct sender *from, bool speaks,
	      const struct tcp_keepalive *keepalive, void (*mark)(void *arg, int fd), void *arg)
{
	_cleanup_close_ int fd = -1;
	int err = 0;

	fd = socket(where->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (where->sa.sa_family != AF_UNIX)
		err = check_mark(fd);
	if (!err && where->sa.sa_family != AF_UNIX)
		err = conn_listen_options(fd, where);
	if (!err && keepalive && where->sa.sa_family != AF_UNIX)
		err = conn_set_keepalive(fd, keepalive);
	if (!err && from && sender_is_client(from))
		err = sender_bind(from, fd, where);
	if (err)
		return err;
	if (mark)
		mark(arg, fd);
	/* Undone by the kernel when the server's SYN comes (tcp_rcv_synsent_state_process). */
	if (speaks && where->sa.sa_family != AF_UNIX)
		set_quickack(fd, 0);
	err = start_connect(fd, where);
	return err ? err : TAKE_FD(fd);
}

const char *conn_strerror(int err)
{
	switch (err) {
	case EAGAIN:
		return "its backlog is full";
	case EADDRNOTAVAIL:
		return "no local port is free";
	case EPFNOSUPPORT:
		return "it cannot be done from the client's address";
	case EAFNOSUPPORT:
		return "this host has no address of that family";
	case EXDEV:
		return "the daemon was moved to another cgroup, and what it connects could be "
		       "steered back to it";
	default:
		return strerror(err);
	}
}

int conn_error(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return errno;
	return err;
}

void conn_input_event(struct conn *c, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP))
		c->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP))
		c->fin_seen = true;
	if (events & EPOLLPRI)
		c->urgent = true;
}

void conn_short_read(struct conn *c)
{
	if (!c->fin_seen && !c->failed && !c->urgent)
		c->readable = false;
}

int conn_end_output(struct conn *c)
{
	int err;

	if (shutdown(c->fd, SHUT_WR) == 0) {
		c->ended = true;
		return 0;
	}
	if (errno != ENOTCONN)
		return -errno;
	/* Its peer's reset was there first; whoever read the error before took it. */
	err = conn_error(c->fd);
	return err ? -err : -ECONNRESET;
}

size_t conn_room(const struct conn *c)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);

	/* A unix socket's peer holds what was written, and the queue here stays empty. */
	if (!c->tcp || getsockopt(c->fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0 ||
	    info[SK_MEMINFO_SNDBUF] <= info[SK_MEMINFO_WMEM_QUEUED])
		return 0;
	return info[SK_MEMINFO_SNDBUF] - info[SK_MEMINFO_WMEM_QUEUED];
}

bool conn_is_quiet(const struct conn *c)
{
	char byte;

	return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

bool conn_has_input(const struct conn *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN | POLLRDHUP};

	return poll(&p, 1, 0) > 0;
}

uint32_t conn_events(const struct conn *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN | POLLPRI | POLLOUT | POLLRDHUP};

	/* The bits are the same. */
	return poll(&p, 1, 0) > 0 ? (uint32_t)p.revents : 0;
}

bool conn_has_ended(const struct conn *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && p.revents == POLLRDHUP;
}

void conn_claim(struct conn *c, uint64_t end)
{
	c->claimed = MAX(c->claimed, end);
}

/* What stands for zero bytes: a SYN that was sent, and acknowledged, counts as one. */
static uint64_t base_of(const struct conn *c)
{
	return c->based ? c->base : c->side == SIDE_BACKEND;
}

uint64_t conn_written(const struct conn *c)
{
	return base_of(c) + c->sent;
}

bool conn_taken(const struct conn *c, uint64_t *ret)
{
	uint64_t written;

	if (!c->tcp) {
		*ret = c->sent;
		return true;
	}
	if (tcp_written(c->fd, &written) < 0)
		return false;
	*ret = written - base_of(c) - c->ended;
	return true;
}

/* What was counted as moved to it has been taken, or the process ends. */
static void check_bytes(const struct conn *c)
{
	uint64_t taken;

	if (ledger_is_checking() && c->claimed && conn_taken(c, &taken))
		ledger_check(c->side == SIDE_CLIENT ? "client" : "server", c->claimed, taken);
}

void conn_close(struct conn *c, bool reset)
{
	const struct linger hard = {.l_onoff = 1, .l_linger = 0};

	if (c->fd < 0)
		return;
	check_bytes(c);
	if (reset)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	(void)close(c->fd);
	c->fd = -1;
}

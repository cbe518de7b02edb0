// SPDX-License-Identifier: GPL-2.0-or-later
#include "channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "../log.h"

/* Unless resolv.conf says otherwise. c-ares doubles the time with each try: 7 s in all. */
#define TIMEOUT_S 1
#define ATTEMPTS  3
/* What fits into one datagram nearly everywhere; longer answers come over TCP. */
#define UDP_BYTES 1232

struct channel_socket {
	LIST_ENTRY(channel_socket) link;
	struct event *event;
	int fd;
};

/* ---- events ----------------------------------------------------------------------------- */

void channel_set_timer(struct channel *c)
{
	struct timeval tv, *next = ares_timeout(c->ares, NULL, &tv);

	/* Without a timer a question would be lost for ever: it was reserved at the start. */
	if (!next)
		(void)event_del(c->timer); /* cannot fail for a timer */
	else if (event_add(c->timer, next) < 0)
		event_active(c->timer, EV_TIMEOUT, 0);
}

static void on_timer(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct channel *c = arg;

	ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	channel_set_timer(c);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct channel *c = arg;

	ares_process_fd(c->ares, what & EV_READ ? fd : ARES_SOCKET_BAD,
			what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	channel_set_timer(c);
}

static struct channel_socket *socket_of(struct channel *c, int fd)
{
	struct channel_socket *s;

	LIST_FOREACH (s, &c->sockets, link)
		if (s->fd == fd)
			return s;
	return NULL;
}

static void socket_free(struct channel_socket *s)
{
	LIST_REMOVE(s, link);
	if (s->event)
		event_free(s->event);
	free(s);
}

/* c-ares: what the socket is to be watched for. One that cannot be watched is one without an
 * answer: its questions time out. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	struct channel *c = arg;
	struct channel_socket *s = socket_of(c, fd);

	if (s)
		socket_free(s);
	if (!what)
		return;
	s = calloc(1, sizeof(*s));
	if (!s) {
		log_warn("name resolution: out of memory for a socket");
		return;
	}
	s->fd = fd;
	LIST_INSERT_HEAD(&c->sockets, s, link);
	s->event = event_new(c->base, fd, (short)(what | EV_PERSIST), on_socket, c);
	if (!s->event || event_add(s->event, NULL) < 0) {
		log_warn("name resolution: a socket cannot be watched");
		socket_free(s);
	}
}

/* ---- sockets: c-ares knows no scopes of addresses --------------------------------------- */

static ares_socket_t on_open(int family, int type, int protocol, void *arg _unused_)
{
	return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

static int on_close(ares_socket_t fd, void *arg _unused_)
{
	return close(fd);
}

static int on_connect(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len, void *arg)
{
	const struct channel *c = arg;
	struct addr where = {.len = len};

	if (len > sizeof(where.un)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(&where.un, to, len);
	for (size_t i = 0; i < c->n_servers && to->sa_family == AF_INET6; i++)
		if (c->servers[i].sa.sa_family == AF_INET6 &&
		    IN6_ARE_ADDR_EQUAL(&c->servers[i].in6.sin6_addr, &where.in6.sin6_addr))
			where.in6.sin6_scope_id = c->servers[i].in6.sin6_scope_id;
	return connect(fd, &where.sa, where.len);
}

static ares_ssize_t on_receive(ares_socket_t fd, void *buf, size_t size, int flags,
			       struct sockaddr *from, ares_socklen_t *len, void *arg _unused_)
{
	return recvfrom(fd, buf, size, flags, from, len);
}

static ares_ssize_t on_send(ares_socket_t fd, const struct iovec *iov, int n, void *arg _unused_)
{
	const struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov,
				 .msg_iovlen = (size_t)n};

	return sendmsg(fd, &m, MSG_NOSIGNAL);
}

static const struct ares_socket_functions socket_functions = {
    .asocket = on_open,
    .aclose = on_close,
    .aconnect = on_connect,
    .arecvfrom = on_receive,
    .asendv = on_send,
};

/* ---- life ------------------------------------------------------------------------------- */

static int set_servers(ares_channel channel, const struct addr *servers, size_t n)
{
	struct ares_addr_port_node nodes[RESOLVCONF_SERVERS] = {0};

	for (size_t i = 0; i < n; i++) {
		nodes[i].next = i + 1 < n ? &nodes[i + 1] : NULL;
		nodes[i].family = servers[i].sa.sa_family;
		nodes[i].udp_port = nodes[i].tcp_port = addr_port(&servers[i]);
		if (nodes[i].family == AF_INET)
			memcpy(&nodes[i].addr, &servers[i].in4.sin_addr, 4);
		else
			memcpy(&nodes[i].addr, &servers[i].in6.sin6_addr, 16);
	}
	return ares_set_servers_ports(channel, nodes);
}

int channel_init(struct channel *c, struct event_base *base)
{
	/* Reserves the timer's place. */
	static const struct timeval later = {.tv_sec = 3600};

	*c = (struct channel){.base = base, .search.ndots = 1};
	c->timer = evtimer_new(base, on_timer, c);
	return c->timer && event_add(c->timer, &later) == 0 ? 0 : -ENOMEM;
}

static void close_channel(struct channel *c)
{
	if (c->ares)
		ares_destroy(c->ares);
	c->ares = NULL;
	ares_destroy_options(&c->search);
	c->search = (struct ares_options){.ndots = 1};
	while (!LIST_EMPTY(&c->sockets))
		socket_free(LIST_FIRST(&c->sockets));
}

void channel_fini(struct channel *c)
{
	close_channel(c);
	if (c->timer)
		event_free(c->timer);
	c->timer = NULL;
}

int channel_open(struct channel *c, const struct channel_settings *settings)
{
	struct ares_options o = {
	    .flags = ARES_FLAG_EDNS,
	    .ednspsz = UDP_BYTES,
	    .timeout = (settings->timeout ? settings->timeout : TIMEOUT_S) * 1000,
	    .tries = settings->attempts ? settings->attempts : ATTEMPTS,
	    .ndots = 1,
	    .lookups = (char *)(uintptr_t) "b",
	    .sock_state_cb = on_socket_state,
	    .sock_state_cb_data = c,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
		   ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
	struct ares_options search = {.ndots = 1};
	ares_channel channel;
	int err, ignored;

	/* Servers of our own configuration: resolv.conf has no say. */
	if (!settings->follows)
		mask |= ARES_OPT_DOMAINS | ARES_OPT_NDOTS | ARES_OPT_NOROTATE;
	err = ares_init_options(&channel, &o, mask);
	if (err)
		return err;
	ares_set_socket_functions(channel, &socket_functions, c);
	err = set_servers(channel, settings->servers, settings->n_servers);
	if (!err)
		err = ares_save_options(channel, &search, &ignored);
	if (err) {
		ares_destroy(channel);
		return err;
	}
	close_channel(c);
	c->ares = channel;
	c->search = search;
	memcpy(c->servers, settings->servers, settings->n_servers * sizeof(*c->servers));
	c->n_servers = settings->n_servers;
	return 0;
}

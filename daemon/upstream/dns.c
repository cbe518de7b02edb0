// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A c-ares channel: its sockets and its next timeout are events. Callbacks of c-ares must not free
 * the channel they come from, so what they bring is told in a turn of its own.
 */
#include "dns.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "../log.h"
#include "resolvconf.h"

/* Unless resolv.conf says otherwise. c-ares doubles the time with each try: 7 s in all. */
#define TIMEOUT_S 1
#define ATTEMPTS  3
/* What fits into one datagram nearly everywhere; longer answers come over TCP. */
#define UDP_BYTES 1232
/* Addresses of one answer that are looked at. */
#define ANSWER_MAX 1024

struct dns_socket {
	LIST_ENTRY(dns_socket) link;
	struct dns *dns;
	struct event *event;
	int fd;
};

enum question_state { QUESTION_ASKED, QUESTION_ANSWERED, QUESTION_FORGOTTEN };

struct question {
	LIST_ENTRY(question) link;
	struct dns *dns;
	struct dns_answer *ret;
	dns_fn fn;
	void *arg;
	int family;
	bool again; /* it was asked a second time */
	enum question_state state;
	char name[DNS_NAME_MAX + 1];
};

struct dns {
	struct event_base *base;
	ares_channel channel;
	struct ares_options search; /* what c-ares has read of resolv.conf */
	LIST_HEAD(, dns_socket) sockets;
	LIST_HEAD(, question) questions;
	struct event *timer; /* c-ares's next timeout */
	struct event *tell;  /* there are answers */
	bool follows;        /* the servers are those of resolv.conf */
	bool complained;     /* that it names none */
	struct resolvconf conf;
	struct addr servers[RESOLVCONF_SERVERS]; /* in use */
	size_t n_servers;
};

/* ---- events ----------------------------------------------------------------------------- */

static void set_timer(struct dns *d)
{
	struct timeval tv, *next = ares_timeout(d->channel, NULL, &tv);

	/* Without a timer a question would be lost for ever: it was reserved at the start. */
	if (!next)
		(void)event_del(d->timer); /* cannot fail for a timer */
	else if (event_add(d->timer, next) < 0)
		event_active(d->timer, EV_TIMEOUT, 0);
}

static void on_timer(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct dns *d = arg;

	ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timer(d);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct dns *d = arg;

	ares_process_fd(d->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
			what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	set_timer(d);
}

static struct dns_socket *socket_of(struct dns *d, int fd)
{
	struct dns_socket *s;

	LIST_FOREACH (s, &d->sockets, link)
		if (s->fd == fd)
			return s;
	return NULL;
}

static void socket_free(struct dns_socket *s)
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
	struct dns *d = arg;
	struct dns_socket *s = socket_of(d, fd);

	if (s)
		socket_free(s);
	if (!what)
		return;
	s = calloc(1, sizeof(*s));
	if (!s) {
		log_warn("name resolution: out of memory for a socket");
		return;
	}
	s->dns = d;
	s->fd = fd;
	LIST_INSERT_HEAD(&d->sockets, s, link);
	s->event = event_new(d->base, fd, (short)(what | EV_PERSIST), on_socket, d);
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
	const struct dns *d = arg;
	struct addr where = {.len = len};

	if (len > sizeof(where.un)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(&where.un, to, len);
	for (size_t i = 0; i < d->n_servers && to->sa_family == AF_INET6; i++)
		if (d->servers[i].sa.sa_family == AF_INET6 &&
		    IN6_ARE_ADDR_EQUAL(&d->servers[i].in6.sin6_addr, &where.in6.sin6_addr))
			where.in6.sin6_scope_id = d->servers[i].in6.sin6_scope_id;
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

/* ---- questions -------------------------------------------------------------------------- */

static void question_free(struct question *q)
{
	LIST_REMOVE(q, link);
	free(q);
}

static void answered(struct question *q)
{
	q->state = QUESTION_ANSWERED;
	event_active(q->dns->tell, EV_TIMEOUT, 0);
}

static int read_v4(struct dns_answer *a, const unsigned char *packet, int len)
{
	static struct ares_addrttl found[ANSWER_MAX]; /* of the one thread */
	int n = ANSWER_MAX, err = ares_parse_a_reply(packet, len, NULL, found, &n);

	for (int i = 0; err == ARES_SUCCESS && i < n; i++) {
		ips_add(&a->set, AF_INET, &found[i].ipaddr);
		a->ttl = MIN(a->ttl, found[i].ttl);
	}
	return err;
}

static int read_v6(struct dns_answer *a, const unsigned char *packet, int len)
{
	static struct ares_addr6ttl found[ANSWER_MAX];
	int n = ANSWER_MAX, err = ares_parse_aaaa_reply(packet, len, NULL, found, &n);

	for (int i = 0; err == ARES_SUCCESS && i < n; i++) {
		ips_add(&a->set, AF_INET6, &found[i].ip6addr);
		a->ttl = MIN(a->ttl, found[i].ttl);
	}
	return err;
}

static void read_answer(struct question *q, int err, const unsigned char *packet, int len)
{
	struct dns_answer *a = q->ret;

	*a = (struct dns_answer){.ttl = INT32_MAX};
	if (err == ARES_SUCCESS)
		err = q->family == AF_INET ? read_v4(a, packet, len) : read_v6(a, packet, len);
	a->err = err;
	if (err == ARES_SUCCESS && a->set.n)
		a->state = DNS_GOT;
	else if (err == ARES_SUCCESS || err == ARES_ENODATA || err == ARES_ENOTFOUND ||
		 err == ARES_EBADNAME)
		a->state = DNS_NONE;
	else
		a->state = DNS_FAILED;
	if (a->state != DNS_GOT)
		a->set.n = 0;
}

static void send_question(struct question *q);

static void on_answer(void *arg, int err, int timeouts _unused_, unsigned char *packet, int len)
{
	struct question *q = arg;

	if (q->state == QUESTION_FORGOTTEN || err == ARES_EDESTRUCTION) {
		question_free(q);
		return;
	}
	/* A server that knows no EDNS: c-ares asks one of several questions again without. */
	if (err == ARES_EFORMERR && !q->again) {
		q->again = true;
		send_question(q);
		return;
	}
	read_answer(q, err, packet, len);
	answered(q);
}

static void send_question(struct question *q)
{
	ares_query(q->dns->channel, q->name, ns_c_in, q->family == AF_INET ? ns_t_a : ns_t_aaaa,
		   on_answer, q);
}

int dns_ask(struct dns *d, const char *name, int family, struct dns_answer *ret, dns_fn fn,
	    void *arg)
{
	struct question *q = calloc(1, sizeof(*q));

	*ret = (struct dns_answer){.state = DNS_FAILED, .err = ARES_ENOMEM};
	if (!q)
		return -ENOMEM;
	*q = (struct question){.dns = d, .ret = ret, .fn = fn, .arg = arg, .family = family};
	(void)snprintf(q->name, sizeof(q->name), "%s", name); /* the caller keeps to the size */
	ret->state = DNS_AWAITED;
	LIST_INSERT_HEAD(&d->questions, q, link);
	send_question(q);
	set_timer(d);
	return 0;
}

void dns_forget(struct dns *d, const void *arg)
{
	struct question *q, *next;

	for (q = LIST_FIRST(&d->questions); q; q = next) {
		next = LIST_NEXT(q, link);
		if (q->arg != arg)
			continue;
		if (q->state == QUESTION_ANSWERED)
			question_free(q);
		else
			q->state = QUESTION_FORGOTTEN;
	}
}

static struct question *next_answered(struct dns *d)
{
	struct question *q;

	LIST_FOREACH (q, &d->questions, link)
		if (q->state == QUESTION_ANSWERED)
			return q;
	return NULL;
}

/* One in a turn of the loop: what is called may ask, forget, and free all of this. */
static void on_tell(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct dns *d = arg;
	struct question *q = next_answered(d);
	dns_fn fn;

	if (!q)
		return;
	fn = q->fn;
	arg = q->arg;
	question_free(q);
	if (next_answered(d))
		event_active(d->tell, EV_TIMEOUT, 0);
	fn(arg);
}

/* ---- the channel ------------------------------------------------------------------------ */

/* Its questions end, too: those that have no answer yet are freed by on_answer(). */
static void close_channel(struct dns *d)
{
	struct question *q;

	if (d->channel)
		ares_destroy(d->channel);
	d->channel = NULL;
	ares_destroy_options(&d->search);
	d->search = (struct ares_options){.ndots = 1};
	while ((q = LIST_FIRST(&d->questions)))
		question_free(q);
	while (!LIST_EMPTY(&d->sockets))
		socket_free(LIST_FIRST(&d->sockets));
}

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

/* A channel that asks d->servers. 0, or an error of c-ares and nothing is changed. */
static int open_channel(struct dns *d)
{
	int attempts = d->conf.attempts ? d->conf.attempts : ATTEMPTS;
	int timeout = d->conf.timeout ? d->conf.timeout : TIMEOUT_S;
	struct ares_options o = {
	    .flags = ARES_FLAG_EDNS,
	    .ednspsz = UDP_BYTES,
	    .timeout = timeout * 1000,
	    .tries = attempts,
	    .lookups = (char *)(uintptr_t) "b",
	    .sock_state_cb = on_socket_state,
	    .sock_state_cb_data = d,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
		   ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
	struct ares_options search = {.ndots = 1};
	ares_channel channel;
	int err, ignored;

	/* Servers of our own configuration: resolv.conf has no say. */
	if (!d->follows)
		mask |= ARES_OPT_DOMAINS | ARES_OPT_NDOTS | ARES_OPT_NOROTATE;
	o.ndots = 1;
	err = ares_init_options(&channel, &o, mask);
	if (err)
		return err;
	ares_set_socket_functions(channel, &socket_functions, d);
	err = set_servers(channel, d->servers, d->n_servers);
	if (!err)
		err = ares_save_options(channel, &search, &ignored);
	if (err) {
		ares_destroy(channel);
		return err;
	}
	close_channel(d);
	d->channel = channel;
	d->search = search;
	return 0;
}

/* ---- resolv.conf ------------------------------------------------------------------------ */

/* Takes what the file says now. A file that is gone or names no server changes nothing, as long as
 * there are servers; where there were none, the C library asks 127.0.0.1, and so do we. */
static bool take_file(struct dns *d)
{
	static const char *const local = "127.0.0.1:53";
	struct resolvconf fresh;
	const char *why;
	int err = resolvconf_read(&fresh);

	d->conf.st = fresh.st;
	if (err || !fresh.n_servers) {
		if (!d->complained)
			log_info("%s names no server: asking %s", RESOLVCONF_PATH,
				 d->n_servers ? "those that it named before" : "127.0.0.1");
		d->complained = true;
		if (d->n_servers || addr_parse(local, &d->servers[0], &why) < 0)
			return false;
		d->n_servers = 1;
		return true;
	}
	d->complained = false;
	d->conf = fresh;
	memcpy(d->servers, fresh.servers, sizeof(d->servers));
	d->n_servers = fresh.n_servers;
	return true;
}

bool dns_follow(struct dns *d)
{
	int err;

	if (!d->follows || !resolvconf_changed(&d->conf) || !take_file(d))
		return false;
	err = open_channel(d);
	if (err) {
		log_warn("%s has changed, but cannot be used: %s", RESOLVCONF_PATH,
			 ares_strerror(err));
		/* Looked at again, whatever it says then. */
		d->conf.st.st_ino = 0;
		return false;
	}
	log_info("%s has changed: names are looked up again", RESOLVCONF_PATH);
	return true;
}

/* ---- life ------------------------------------------------------------------------------- */

static int library_error;

static void start_library(void)
{
	library_error = ares_library_init(ARES_LIB_INIT_ALL);
}

static int take_servers(struct dns *d, const struct addr *nameservers, size_t n)
{
	for (size_t i = 0; i < n && d->n_servers < RESOLVCONF_SERVERS; i++) {
		if (nameservers[i].sa.sa_family != AF_INET &&
		    nameservers[i].sa.sa_family != AF_INET6)
			return -EAFNOSUPPORT;
		d->servers[d->n_servers++] = nameservers[i];
	}
	return 0;
}

struct dns *dns_new(struct event_base *base, const struct addr *nameservers, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	/* Reserves the timer's place. */
	static const struct timeval later = {.tv_sec = 3600};
	struct dns *d = calloc(1, sizeof(*d));
	int err;

	(void)pthread_once(&once, start_library); /* cannot fail with a valid control */
	if (!d) {
		(void)log_errno(-ENOMEM, "cannot set name resolution up");
		return NULL;
	}
	d->base = base;
	d->follows = n == 0;
	d->search.ndots = 1;
	d->timer = evtimer_new(base, on_timer, d);
	d->tell = evtimer_new(base, on_tell, d);
	if (!d->timer || !d->tell || event_add(d->timer, &later) < 0) {
		(void)log_errno(-ENOMEM, "cannot set name resolution up");
		dns_free(d);
		return NULL;
	}
	if (d->follows && !take_file(d)) {
		dns_free(d);
		return NULL;
	}
	err = take_servers(d, nameservers, n);
	if (err) {
		(void)log_errno(err, "cannot set name resolution up");
		dns_free(d);
		return NULL;
	}
	err = library_error ? library_error : open_channel(d);
	if (err) {
		log_error("cannot set name resolution up: %s", ares_strerror(err));
		dns_free(d);
		return NULL;
	}
	return d;
}

void dns_free(struct dns *d)
{
	if (!d)
		return;
	close_channel(d);
	if (d->timer)
		event_free(d->timer);
	if (d->tell)
		event_free(d->tell);
	free(d);
}

/* ---- names ------------------------------------------------------------------------------ */

bool dns_candidate(const struct dns *d, const char *host, size_t i, char ret[DNS_NAME_MAX + 1])
{
	size_t n = d->search.ndomains > 0 ? (size_t)d->search.ndomains : 0, which;
	bool as_is_first;
	int dots = 0, len;

	for (const char *p = host; *p; p++)
		dots += *p == '.';
	as_is_first = dots >= d->search.ndots;
	if (i > n)
		return false;
	/* The domain that is put behind it; n: none. */
	if (as_is_first)
		which = i ? i - 1 : n;
	else
		which = i;
	if (which == n)
		len = snprintf(ret, DNS_NAME_MAX + 1, "%s", host);
	else
		len = snprintf(ret, DNS_NAME_MAX + 1, "%s.%s", host, d->search.domains[which]);
	if (len < 0 || len > DNS_NAME_MAX)
		ret[0] = '\0';
	return true;
}

const char *dns_error(int err)
{
	switch (err) {
	case ARES_ECONNREFUSED:
		return "the name servers cannot be reached, or fail";
	case ARES_ETIMEOUT:
		return "no answer in time";
	case ARES_ENOTFOUND:
		return "no such name";
	case ARES_ENODATA:
		return "the name has no address";
	default:
		return ares_strerror(err);
	}
}

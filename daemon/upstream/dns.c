// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Callbacks of c-ares must not close the channel they come from, so what they bring is told in a
 * turn of its own.
 */
#include "dns.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "../log.h"
#include "channel.h"

/* Addresses of one answer that are looked at. */
#define ANSWER_MAX 1024

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
	struct channel channel;
	LIST_HEAD(, question) questions;
	struct event *tell; /* there are answers */
	bool follows;       /* the servers are those of resolv.conf */
	bool complained;    /* that it names none */
	struct resolvconf conf;
	struct addr servers[RESOLVCONF_SERVERS]; /* to be asked */
	size_t n_servers;
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
	ares_query(q->dns->channel.ares, q->name, ns_c_in,
		   q->family == AF_INET ? ns_t_a : ns_t_aaaa, on_answer, q);
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
	channel_set_timer(&d->channel);
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

static void forget_all(struct dns *d)
{
	struct question *q;

	while ((q = LIST_FIRST(&d->questions)))
		question_free(q);
}

/* ---- resolv.conf ------------------------------------------------------------------------ */

/* A channel that asks d->servers. 0, or an error of c-ares and nothing is changed. */
static int open_channel(struct dns *d)
{
	const struct channel_settings settings = {
	    .servers = d->servers,
	    .n_servers = d->n_servers,
	    .timeout = d->conf.timeout,
	    .attempts = d->conf.attempts,
	    .follows = d->follows,
	};
	int err = channel_open(&d->channel, &settings);

	/* Those that have no answer yet ended with the channel before. */
	if (!err)
		forget_all(d);
	return err;
}

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
	struct dns *d = calloc(1, sizeof(*d));
	int err;

	(void)pthread_once(&once, start_library); /* cannot fail with a valid control */
	if (!d) {
		(void)log_errno(-ENOMEM, "cannot set name resolution up");
		return NULL;
	}
	d->follows = n == 0;
	d->tell = evtimer_new(base, on_tell, d);
	if (channel_init(&d->channel, base) < 0 || !d->tell) {
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
	channel_fini(&d->channel);
	forget_all(d);
	if (d->tell)
		event_free(d->tell);
	free(d);
}

/* ---- names ------------------------------------------------------------------------------ */

bool dns_candidate(const struct dns *d, const char *host, size_t i, char ret[DNS_NAME_MAX + 1])
{
	size_t n = d->channel.search.ndomains > 0 ? (size_t)d->channel.search.ndomains : 0, which;
	bool as_is_first;
	int dots = 0, len;

	for (const char *p = host; *p; p++)
		dots += *p == '.';
	as_is_first = dots >= d->channel.search.ndots;
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
		len = snprintf(ret, DNS_NAME_MAX + 1, "%s.%s", host,
			       d->channel.search.domains[which]);
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions to name servers, without blocking: c-ares, driven by an event base, whose thread is the
 * only one that may use it. Over UDP with EDNS, over TCP what does not fit. With the servers of
 * /etc/resolv.conf, changes of that file are followed.
 */
#pragma once

#include <event2/event.h>

#include "../ips.h"

struct dns;

#define DNS_NAME_MAX 253 /* RFC 1035: 255 on the wire */

enum dns_state {
	DNS_AWAITED,
	DNS_GOT,
	DNS_NONE,   /* the name has no address of this family */
	DNS_FAILED, /* nobody knows: no answer, a broken server */
};

/* Of one question. */
struct dns_answer {
	enum dns_state state;
	int err; /* what dns_error() names */
	int ttl; /* seconds; DNS_GOT only, and held to what an int takes */
	struct ip_set set;
};

/* The answer of a question; never called from within dns_ask(). */
typedef void (*dns_fn)(void *arg);

/* nameservers: n == 0 means those of /etc/resolv.conf. NULL and a log line on failure. */
struct dns *dns_new(struct event_base *base, const struct addr *nameservers, size_t n);
/* Questions under way are forgotten. NULL is allowed. */
void dns_free(struct dns *d);

/*
 * Asks for the addresses of one family (AF_INET, AF_INET6) of `name`, which is absolute whether or
 * not it ends in a dot. `ret` is filled and then fn(arg) called, when there is an answer, or there
 * will be none. Both must live until then, or until dns_forget(). 0, or -ENOMEM: fn is not called,
 * and `ret` says that it failed.
 */
int dns_ask(struct dns *d, const char *name, int family, struct dns_answer *ret, dns_fn fn,
	    void *arg);
/* fn(arg) is not called any more. */
void dns_forget(struct dns *d, const void *arg);

/* The i-th name to ask for if `host` is not absolute: by the search list; "" if that is too long to
 * be one. False: there are no more. */
bool dns_candidate(const struct dns *d, const char *host, size_t i, char ret[DNS_NAME_MAX + 1]);

/* Looks whether /etc/resolv.conf has changed. True: it has; all questions are forgotten. */
bool dns_follow(struct dns *d);

const char *dns_error(int err);

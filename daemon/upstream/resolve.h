/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names to addresses, without blocking: see dns.h. A name is asked for again when the answer's time
 * to live is up (held between 1 s and 5 min), and a failed look-up after a pause
 * that doubles from 1 s to 30 s, the last good answer staying in use meanwhile.
 * /etc/hosts is asked first. Everything here runs in the thread of the event base.
 */
#pragma once

#include <event2/event.h>

#include "../addr.h"

struct resolver;

/* The whole new address set of the name; called only when it differs from the last one. n is 0 only
 * while there never was one, and if those who know say that there is none: a name that stops
 * resolving keeps its last addresses (and is logged once). */
typedef void (*resolver_fn)(const struct addr *addrs, size_t n, void *arg);

/* nameservers: n == 0 means those of /etc/resolv.conf. NULL and a log line on failure. */
struct resolver *resolver_new(struct event_base *base, const struct addr *nameservers, size_t n);
void resolver_free(struct resolver *r); /* also ends every watch; NULL is allowed */

/* Starts looking HOST up (A and AAAA), now and for ever; fn may be called before it returns
 * (a name of /etc/hosts). Returns 0 or a negative errno. */
int resolver_watch(struct resolver *r, const char *host, uint16_t port, resolver_fn fn, void *arg);
/* Ends the watch with that `arg`, if there is one: fn is called no more. Not from within fn. */
void resolver_unwatch(struct resolver *r, const void *arg);

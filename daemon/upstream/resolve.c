// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names to addresses. A watch is always in one of two states: a look-up is under way (asking), or
 * its timer runs until the next one.
 */
#include "resolve.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "../log.h"
#include "dns.h"

#define HOSTS_PATH      "/etc/hosts"
#define HOSTS_MAX       ((off_t)1 << 20)
#define TTL_MIN_S       1
#define TTL_MAX_S       300
#define RETRY_MAX_S     30
#define LOCAL_REFRESH_S 2 /* how soon a change of /etc/hosts or /etc/resolv.conf is seen */

/*
 * When only one family has answered and there is nothing to use yet: how long the other is waited
 * for. (Some servers drop AAAA questions; a start must not wait for three timeouts.)
 */
static const struct timeval other_family_patience = {.tv_usec = 250000};

enum { V4, V6, N_FAMILIES };
static const int families[N_FAMILIES] = {AF_INET, AF_INET6};

struct watch {
	LIST_ENTRY(watch) link;
	struct resolver *resolver;
	char *host;    /* lower case, without a final dot */
	bool absolute; /* it had a final dot: the search list does not apply */
	uint16_t port;
	resolver_fn fn;
	void *arg;
	struct event *timer;
	bool asking;
	bool absent;           /* fn was told that there is no address */
	size_t candidate;      /* of the search list: the next one */
	unsigned int pending;  /* questions that wait for an answer */
	unsigned int failures; /* look-ups in a row that brought nothing */
	struct dns_answer answers[N_FAMILIES];
	struct ip_set current; /* what fn was told last */
};

struct resolver {
	struct event_base *base;
	struct dns *dns;
	struct event *follow;
	LIST_HEAD(, watch) watches;
};

/* ---- what needs no server: addresses, /etc/hosts, localhost ---- */

/* "10.0.0.1  shop shop.example  # a comment" */
static void hosts_line(char *line, const char *host, struct ip_set *set)
{
	static const char space[] = " \t\r\n";
	char *rest = NULL;
	char *address;
	char *name;

	line[strcspn(line, "#")] = '\0';
	address = strtok_r(line, space, &rest);
	while (address && (name = strtok_r(NULL, space, &rest))) {
		if (strcasecmp(name, host) == 0) {
			/* An address we cannot use (fe80::1%eth0) counts for nothing. */
			(void)ips_add_text(set, address);
			return;
		}
	}
}

/* The file is small and local: it is read again at every look-up, so a change needs no watching. */
static void hosts_lookup(const char *host, struct ip_set *set)
{
	FILE *file = fopen(HOSTS_PATH, "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	struct stat st;

	if (!file)
		return;
	if (fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= HOSTS_MAX)
		while (getline(&line, &size, file) >= 0)
			hosts_line(line, host, set);
	(void)fclose(file);
}

/* RFC 6761: localhost and every name below it are this host, whatever a server says. */
static bool is_localhost(const char *host)
{
	static const char tail[] = ".localhost";
	size_t len = strlen(host);

	return strcmp(host, tail + 1) == 0 ||
	       (len >= sizeof(tail) && strcmp(host + len - (sizeof(tail) - 1), tail) == 0);
}

static bool local_lookup(const char *host, struct ip_set *set)
{
	*set = (struct ip_set){.n = 0};
	if (ips_add_text(set, host))
		return true;
	hosts_lookup(host, set);
	if (set->n == 0 && is_localhost(host)) {
		(void)ips_add_text(set, "127.0.0.1");
		(void)ips_add_text(set, "::1");
	}
	return set->n > 0;
}

/* ---- one watch ---- */

static void set_timer(struct watch *w, const struct timeval *tv)
{
	/* It was added once before: its place is reserved. */
	if (event_add(w->timer, tv) < 0)
		log_error("%s: out of memory: it is not looked up any more", w->host);
}

static void schedule(struct watch *w, int seconds)
{
	const struct timeval tv = {.tv_sec = seconds};

	w->asking = false;
	set_timer(w, &tv);
}

/* Tells the watcher if the set is new. The watch may be gone afterwards: fn may free the resolver.
 */
static void publish(struct watch *w, const struct ip_set *set)
{
	struct addr addrs[IPS_MAX];
	char is[512];
	char was[512];

	if (ips_equal(set, &w->current))
		return;
	if (w->current.n == 0)
		log_info("%s resolves to %s", w->host, ips_format(set, is, sizeof(is)));
	else
		log_info("%s now resolves to %s (before: %s)", w->host,
			 ips_format(set, is, sizeof(is)),
			 ips_format(&w->current, was, sizeof(was)));
	if (set->cut && !w->current.cut)
		log_warn("%s has more than %d addresses: the others are not used", w->host,
			 IPS_MAX);
	w->current = *set;
	w->absent = false;
	for (size_t i = 0; i < set->n; i++)
		ips_to_addr(&set->ips[i], w->port, &addrs[i]);
	w->fn(addrs, set->n, w->arg);
}

static void recovered(struct watch *w)
{
	if (w->failures > 0)
		log_info("%s resolves again", w->host);
	w->failures = 0;
}

static bool is_unanswered(const struct watch *w, int family)
{
	return w->answers[family].state == DNS_FAILED;
}

/* The watch may be gone afterwards, as above. */
static void failed(struct watch *w)
{
	/* "No answer" says more than "no such name" when the families differ. */
	const struct dns_answer *a = &w->answers[is_unanswered(w, V4) ? V4 : V6];
	int pause = w->failures < 5 ? 1 << w->failures : RETRY_MAX_S;

	if (w->failures == 0)
		log_warn("cannot resolve %s: %s; %s", w->host, dns_error(a->err),
			 w->current.n > 0 ? "its last addresses stay in use" : "trying again");
	if (w->failures < UINT_MAX)
		w->failures++;
	schedule(w, pause);
	if (w->current.n || w->absent || is_unanswered(w, V4) || is_unanswered(w, V6))
		return;
	w->absent = true;
	w->fn(NULL, 0, w->arg);
}

/*
 * The set that the answers so far make. A family that nobody could answer for keeps its last
 * addresses; one that is known to have none loses them.
 */
static void merge(const struct watch *w, struct ip_set *set)
{
	*set = (struct ip_set){.n = 0};
	for (int i = 0; i < N_FAMILIES; i++) {
		const struct dns_answer *a = &w->answers[i];

		if (a->state == DNS_GOT)
			ips_add_family(set, &a->set, families[i]);
		else if (a->state != DNS_NONE)
			ips_add_family(set, &w->current, families[i]);
	}
}

/* ---- questions to the servers ---- */

static void on_answer(void *arg)
{
	static const struct timeval now = {0};
	struct watch *w = arg;

	if (--w->pending == 0)
		set_timer(w, &now);
	else if (w->current.n == 0 &&
		 (w->answers[V4].state == DNS_GOT || w->answers[V6].state == DNS_GOT))
		set_timer(w, &other_family_patience);
}

/* Both families of one name: the addresses belong to the same host. False: no name is left. */
static bool ask_next(struct watch *w)
{
	struct dns *dns = w->resolver->dns;
	char name[DNS_NAME_MAX + 1] = "";

	if (w->absolute && w->candidate++ == 0)
		(void)snprintf(name, sizeof(name), "%s", w->host); /* host_is_valid(): it fits */
	while (!w->absolute && !*name)
		if (!dns_candidate(dns, w->host, w->candidate++, name))
			break;
	if (!*name)
		return false;
	for (int i = 0; i < N_FAMILIES; i++)
		if (dns_ask(dns, name, families[i], &w->answers[i], on_answer, w) == 0)
			w->pending++;
	return true;
}

/* Every question has its answer. */
static void finish(struct watch *w)
{
	int ttl = TTL_MAX_S;
	bool any = false, none = true;
	struct ip_set set;

	for (int i = 0; i < N_FAMILIES; i++) {
		none = none && w->answers[i].state == DNS_NONE;
		if (w->answers[i].state != DNS_GOT)
			continue;
		any = true;
		/* A TTL with its top bit set comes out negative: RFC 2181 reads it as zero. */
		ttl = MIN(ttl, MAX(w->answers[i].ttl, TTL_MIN_S));
	}
	/* A name that nobody could answer for may be the right one: no further one is tried. */
	if (none && ask_next(w) && w->pending)
		return;
	if (!any) {
		failed(w);
		return;
	}
	recovered(w);
	schedule(w, ttl);
	merge(w, &set);
	publish(w, &set);
}

static void lookup(struct watch *w)
{
	struct ip_set set;

	if (local_lookup(w->host, &set)) {
		recovered(w);
		schedule(w, LOCAL_REFRESH_S);
		publish(w, &set);
		return;
	}
	for (int i = 0; i < N_FAMILIES; i++)
		w->answers[i] = (struct dns_answer){.state = DNS_NONE};
	w->asking = true;
	w->candidate = 0;
	if (!ask_next(w) || w->pending == 0)
		finish(w);
}

static void on_timer(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct watch *w = arg;
	struct ip_set set;

	if (!w->asking) {
		lookup(w);
		return;
	}
	if (w->pending == 0) {
		finish(w);
		return;
	}
	merge(w, &set);
	publish(w, &set);
}

static void watch_free(struct watch *w)
{
	LIST_REMOVE(w, link);
	if (w->resolver->dns)
		dns_forget(w->resolver->dns, w);
	if (w->timer)
		event_free(w->timer);
	free(w->host);
	free(w);
}

/* Letters of any script are the server's matter; blanks and control bytes never resolve. */
static bool host_is_valid(const char *host)
{
	size_t len = strlen(host);

	if (len == 0 || len > DNS_NAME_MAX + 1 || host[0] == '.')
		return false;
	for (; *host; host++)
		if ((unsigned char)*host <= 0x20 || *host == 0x7f)
			return false;
	return true;
}

int resolver_watch(struct resolver *r, const char *host, uint16_t port, resolver_fn fn, void *arg)
{
	/* Reserves the timer's place. */
	static const struct timeval later = {.tv_sec = 3600};
	struct watch *w;
	size_t len;

	if (!host_is_valid(host))
		return -EINVAL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->resolver = r;
	w->port = port;
	w->fn = fn;
	w->arg = arg;
	LIST_INSERT_HEAD(&r->watches, w, link);
	w->host = strdup(host);
	w->timer = evtimer_new(r->base, on_timer, w);
	if (!w->host || !w->timer || event_add(w->timer, &later) < 0) {
		watch_free(w);
		return -ENOMEM;
	}

	len = strlen(w->host);
	w->absolute = w->host[len - 1] == '.';
	if (w->absolute)
		w->host[len - 1] = '\0';
	for (char *p = w->host; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p | 0x20);
	lookup(w);
	return 0;
}

void resolver_unwatch(struct resolver *r, const void *arg)
{
	struct watch *w, *next;

	for (w = LIST_FIRST(&r->watches); w; w = next) {
		next = LIST_NEXT(w, link);
		if (w->arg == arg)
			watch_free(w);
	}
}

/* ---- the resolver ---- */

/* /etc/resolv.conf has changed: what is known may be another network's. */
static void look_again(struct resolver *r)
{
	static const struct timeval now = {0};
	struct watch *w;

	LIST_FOREACH (w, &r->watches, link) {
		w->pending = 0;
		w->asking = false;
		set_timer(w, &now);
	}
}

static void on_follow(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct resolver *r = arg;

	if (dns_follow(r->dns))
		look_again(r);
}

struct resolver *resolver_new(struct event_base *base, const struct addr *nameservers, size_t n)
{
	static const struct timeval period = {.tv_sec = LOCAL_REFRESH_S};
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r) {
		(void)log_errno(-ENOMEM, "cannot set name resolution up");
		return NULL;
	}
	LIST_INIT(&r->watches);
	r->base = base;
	r->dns = dns_new(base, nameservers, n);
	if (!r->dns) {
		resolver_free(r);
		return NULL;
	}
	r->follow = event_new(base, -1, EV_PERSIST, on_follow, r);
	if (!r->follow || (n == 0 && event_add(r->follow, &period) < 0)) {
		(void)log_errno(-ENOMEM, "cannot set name resolution up");
		resolver_free(r);
		return NULL;
	}
	return r;
}

void resolver_free(struct resolver *r)
{
	struct watch *w;

	if (!r)
		return;
	while ((w = LIST_FIRST(&r->watches)))
		watch_free(w);
	if (r->follow)
		event_free(r->follow);
	dns_free(r->dns);
	free(r);
}

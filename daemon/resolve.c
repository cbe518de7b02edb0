/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names to addresses. A watch is always in one of two states: a look-up is under way (pending > 0),
 * or its timer runs until the next one.
 */
#include "resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "log.h"

#define HOSTS_PATH      "/etc/hosts"
#define HOSTS_MAX       ((off_t)1 << 20)
#define RESOLV_PATH     "/etc/resolv.conf"
#define NAME_MAX_       253 /* RFC 1035: 255 on the wire */
#define TTL_MIN_S       1
#define TTL_MAX_S       300
#define RETRY_MAX_S     30
#define LOCAL_REFRESH_S 2 /* how soon a change of /etc/hosts is seen */
/* evdns hands over at most 32 addresses of each family. */
#define IPS_MAX 64

/*
 * When only one family has answered and there is nothing to use yet: how long the other is waited
 * for. (Some servers drop AAAA questions; a start must not wait for three timeouts.)
 */
static const struct timeval other_family_patience = {.tv_usec = 250000};

/* memcmp() orders and compares these: no padding, unused bytes are zero, IPv4 comes first. */
struct ip {
	uint8_t family;
	uint8_t bytes[16];
};

struct ip_set { /* sorted, each address once */
	size_t n;
	struct ip ips[IPS_MAX];
};

enum answer_state {
	ANSWER_AWAITED,
	ANSWER_GOT,
	ANSWER_NONE,   /* the name has no address of this family */
	ANSWER_FAILED, /* nobody knows: no answer, a broken server */
};

struct answer { /* of one family, in the look-up under way */
	enum answer_state state;
	int err; /* DNS_ERR_* */
	int ttl;
	struct ip_set set;
};

enum { V4, V6, N_FAMILIES };

struct watch {
	LIST_ENTRY(watch) link;
	struct resolver *resolver;
	char *host;    /* lower case, without a final dot */
	bool absolute; /* it had a final dot: the search list does not apply */
	uint16_t port;
	resolver_fn fn;
	void *arg;
	struct event *timer;
	unsigned int pending;  /* questions that wait for an answer */
	unsigned int failures; /* look-ups in a row that brought nothing */
	struct answer answers[N_FAMILIES];
	struct ip_set current; /* what fn was told last */
};

struct resolver {
	struct event_base *base;
	struct evdns_base *dns;
	LIST_HEAD(, watch) watches;
};

/*
 * Questions under way. evdns calls back from its event base's queue of deferred callbacks, which
 * can be after evdns_base_free(); so what it is given is a number, and a number that is no longer
 * in this list is ignored. (Freed with fail_requests, evdns would also touch a freed nameserver in
 * its own probe callback.) The list is shared by the resolvers of all threads.
 */
struct question {
	LIST_ENTRY(question) link;
	uintptr_t id;
	struct watch *watch;
	int family;
};
static LIST_HEAD(, question) questions = LIST_HEAD_INITIALIZER(questions);
static uintptr_t last_id;
static pthread_mutex_t questions_lock = PTHREAD_MUTEX_INITIALIZER;

static void lookup(struct watch *w);
static void finish(struct watch *w);

/* ---- sets of addresses ---- */

static void set_add(struct ip_set *set, int family, const void *bytes)
{
	struct ip ip = {.family = (uint8_t)family};
	size_t i = 0;
	int order = 1;

	(void)memcpy(ip.bytes, bytes, family == AF_INET ? 4 : 16);
	for (; i < set->n; i++) {
		order = memcmp(&set->ips[i], &ip, sizeof(ip));
		if (order >= 0)
			break;
	}
	if (set->n == IPS_MAX || (i < set->n && order == 0))
		return;
	(void)memmove(&set->ips[i + 1], &set->ips[i], (set->n - i) * sizeof(ip));
	set->ips[i] = ip;
	set->n++;
}

/* Adds one family's addresses. */
static void set_add_family(struct ip_set *set, const struct ip_set *from, int family)
{
	for (size_t i = 0; i < from->n; i++)
		if (from->ips[i].family == family)
			set_add(set, family, from->ips[i].bytes);
}

static bool set_equal(const struct ip_set *a, const struct ip_set *b)
{
	return a->n == b->n && memcmp(a->ips, b->ips, a->n * sizeof(a->ips[0])) == 0;
}

static const char *set_format(const struct ip_set *set, char *buf, size_t size)
{
	char ip[INET6_ADDRSTRLEN];
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < set->n; i++) {
		int n = snprintf(buf + used, size - used, "%s%s", i ? ", " : "",
				 inet_ntop(set->ips[i].family, set->ips[i].bytes, ip, sizeof(ip)));

		if (n < 0 || (size_t)n >= size - used)
			break;
		used += (size_t)n;
	}
	return buf;
}

static void to_addr(const struct ip *ip, uint16_t port, struct addr *ret)
{
	*ret = (struct addr){.len = 0};
	if (ip->family == AF_INET) {
		ret->len = sizeof(ret->in4);
		ret->in4.sin_family = AF_INET;
		ret->in4.sin_port = htons(port);
		(void)memcpy(&ret->in4.sin_addr, ip->bytes, 4);
	} else {
		ret->len = sizeof(ret->in6);
		ret->in6.sin6_family = AF_INET6;
		ret->in6.sin6_port = htons(port);
		(void)memcpy(&ret->in6.sin6_addr, ip->bytes, 16);
	}
}

/* ---- what needs no server: addresses, /etc/hosts, localhost ---- */

static bool set_add_text(struct ip_set *set, const char *text)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1)
		set_add(set, AF_INET, bytes);
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		set_add(set, AF_INET6, bytes);
	else
		return false;
	return true;
}

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
			(void)set_add_text(set, address);
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
	set->n = 0;
	if (set_add_text(set, host))
		return true;
	hosts_lookup(host, set);
	if (set->n == 0 && is_localhost(host)) {
		(void)set_add_text(set, "127.0.0.1");
		(void)set_add_text(set, "::1");
	}
	return set->n > 0;
}

/* ---- questions to the servers ---- */

static void on_answer(int err, char type, int count, int ttl, void *addresses, void *arg);

static int question_new(struct watch *w, int family, uintptr_t *ret_id)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->watch = w;
	q->family = family;
	(void)pthread_mutex_lock(&questions_lock);
	q->id = *ret_id = ++last_id;
	LIST_INSERT_HEAD(&questions, q, link);
	(void)pthread_mutex_unlock(&questions_lock);
	return 0;
}

/* Takes the question out of the list; NULL when its resolver is gone. The caller frees it. */
static struct question *question_take(uintptr_t id)
{
	struct question *q;

	(void)pthread_mutex_lock(&questions_lock);
	LIST_FOREACH (q, &questions, link) {
		if (q->id == id)
			break;
	}
	if (q)
		LIST_REMOVE(q, link);
	(void)pthread_mutex_unlock(&questions_lock);
	return q;
}

static void questions_drop(const struct watch *w)
{
	struct question *q;
	struct question *next;

	(void)pthread_mutex_lock(&questions_lock);
	for (q = LIST_FIRST(&questions); q; q = next) {
		next = LIST_NEXT(q, link);
		if (q->watch == w) {
			LIST_REMOVE(q, link);
			free(q);
		}
	}
	(void)pthread_mutex_unlock(&questions_lock);
}

static void ask(struct watch *w, int family)
{
	struct evdns_base *dns = w->resolver->dns;
	int flags = w->absolute ? DNS_QUERY_NO_SEARCH : 0;
	struct evdns_request *handle;
	uintptr_t id;

	w->answers[family] = (struct answer){.state = ANSWER_FAILED, .err = DNS_ERR_UNKNOWN};
	if (question_new(w, family, &id) < 0)
		return;
	handle = family == V4 ? evdns_base_resolve_ipv4(dns, w->host, flags, on_answer, (void *)id)
			      : evdns_base_resolve_ipv6(dns, w->host, flags, on_answer, (void *)id);
	if (!handle) {
		free(question_take(id));
		return;
	}
	w->answers[family].state = ANSWER_AWAITED;
	w->pending++;
}

static void record(struct answer *a, int family, int err, int count, int ttl, const void *addresses)
{
	size_t step = family == V4 ? 4 : 16;

	a->err = err;
	a->ttl = ttl;
	a->set.n = 0;
	if (err == DNS_ERR_NONE && count > 0) {
		a->state = ANSWER_GOT;
		for (size_t i = 0; i < (size_t)count; i++)
			set_add(&a->set, family == V4 ? AF_INET : AF_INET6,
				(const char *)addresses + i * step);
	} else if (err == DNS_ERR_NONE || err == DNS_ERR_NOTEXIST || err == DNS_ERR_NODATA) {
		a->state = ANSWER_NONE;
	} else {
		a->state = ANSWER_FAILED;
	}
}

static void on_answer(int err, char type _unused_, int count, int ttl, void *addresses, void *arg)
{
	_cleanup_free_ struct question *q = question_take((uintptr_t)arg);
	struct watch *w;

	if (!q)
		return;
	w = q->watch;
	record(&w->answers[q->family], q->family, err, count, ttl, addresses);
	if (--w->pending == 0)
		finish(w);
	else if (w->current.n == 0 && w->answers[q->family].state == ANSWER_GOT)
		(void)event_add(w->timer, &other_family_patience);
}

/* ---- one watch ---- */

static void schedule(struct watch *w, int seconds)
{
	const struct timeval tv = {.tv_sec = seconds};

	(void)event_add(w->timer, &tv);
}

/* Tells the watcher if the set is new. The watch may be gone afterwards: fn may free the resolver.
 */
static void publish(struct watch *w, const struct ip_set *set)
{
	struct addr addrs[IPS_MAX];
	char is[512];
	char was[512];

	if (set_equal(set, &w->current))
		return;
	if (w->current.n == 0)
		log_info("%s resolves to %s", w->host, set_format(set, is, sizeof(is)));
	else
		log_info("%s now resolves to %s (before: %s)", w->host,
			 set_format(set, is, sizeof(is)),
			 set_format(&w->current, was, sizeof(was)));
	w->current = *set;
	for (size_t i = 0; i < set->n; i++)
		to_addr(&set->ips[i], w->port, &addrs[i]);
	w->fn(addrs, set->n, w->arg);
}

static void recovered(struct watch *w)
{
	if (w->failures > 0)
		log_info("%s resolves again", w->host);
	w->failures = 0;
}

static void failed(struct watch *w)
{
	/* "No answer" says more than "no such name" when the families differ. */
	const struct answer *a = &w->answers[w->answers[V4].state == ANSWER_FAILED ? V4 : V6];
	int pause = w->failures < 5 ? 1 << w->failures : RETRY_MAX_S;

	if (w->failures == 0)
		log_warn("cannot resolve %s: %s; %s", w->host, evdns_err_to_string(a->err),
			 w->current.n > 0 ? "its last addresses stay in use" : "trying again");
	if (w->failures < UINT_MAX)
		w->failures++;
	schedule(w, pause);
}

/*
 * The set that the answers so far make. A family that nobody could answer for keeps its last
 * addresses; one that is known to have none loses them.
 */
static void merge(const struct watch *w, struct ip_set *set)
{
	static const int af[N_FAMILIES] = {AF_INET, AF_INET6};

	set->n = 0;
	for (int i = 0; i < N_FAMILIES; i++) {
		const struct answer *a = &w->answers[i];

		if (a->state == ANSWER_GOT)
			set_add_family(set, &a->set, af[i]);
		else if (a->state != ANSWER_NONE)
			set_add_family(set, &w->current, af[i]);
	}
}

/* Every question has its answer. */
static void finish(struct watch *w)
{
	int ttl = TTL_MAX_S;
	bool any = false;
	struct ip_set set;

	for (int i = 0; i < N_FAMILIES; i++) {
		if (w->answers[i].state != ANSWER_GOT)
			continue;
		any = true;
		/* A TTL with its top bit set comes out negative: RFC 2181 reads it as zero. */
		ttl = MIN(ttl, MAX(w->answers[i].ttl, TTL_MIN_S));
	}
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
	ask(w, V4);
	ask(w, V6);
	if (w->pending == 0)
		finish(w);
}

static void on_timer(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct watch *w = arg;
	struct ip_set set;

	if (w->pending == 0) {
		lookup(w);
		return;
	}
	merge(w, &set);
	publish(w, &set);
}

static void watch_free(struct watch *w)
{
	LIST_REMOVE(w, link);
	questions_drop(w);
	if (w->timer)
		event_free(w->timer);
	free(w->host);
	free(w);
}

/* Letters of any script are the server's matter; blanks and control bytes never resolve. */
static bool host_is_valid(const char *host)
{
	size_t len = strlen(host);

	if (len == 0 || len > NAME_MAX_ + 1 || host[0] == '.')
		return false;
	for (; *host; host++)
		if ((unsigned char)*host <= 0x20 || *host == 0x7f)
			return false;
	return true;
}

int resolver_watch(struct resolver *r, const char *host, uint16_t port, resolver_fn fn, void *arg)
{
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
	if (!w->host || !w->timer) {
		watch_free(w);
		return -ENOMEM;
	}

	len = strlen(w->host);
	w->absolute = w->host[len - 1] == '.';
	if (w->absolute)
		w->host[len - 1] = '\0';
	/* evdns compares the question in an answer with ours to the case. */
	for (char *p = w->host; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p | 0x20);
	lookup(w);
	return 0;
}

/* ---- the resolver ---- */

/* libevent's own word on its servers ("has failed: request timed out") is for debugging. */
static void on_evdns_log(int is_warning _unused_, const char *text)
{
	log_debug("evdns: %s", text);
}

static int add_nameservers(struct evdns_base *dns, const struct addr *nameservers, size_t n)
{
	int r;

	for (size_t i = 0; i < n; i++) {
		if (nameservers[i].sa.sa_family != AF_INET &&
		    nameservers[i].sa.sa_family != AF_INET6)
			return -EAFNOSUPPORT;
		if (evdns_base_nameserver_sockaddr_add(dns, &nameservers[i].sa,
						       (ev_socklen_t)nameservers[i].len, 0) != 0)
			return -EADDRNOTAVAIL;
	}
	if (n > 0)
		return 0;

	/* Where the file is missing or names none, this adds 127.0.0.1, as the C library does. */
	r = evdns_base_resolv_conf_parse(
	    dns, DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC, RESOLV_PATH);
	if (evdns_base_count_nameservers(dns) > 0) {
		if (r != 0)
			log_info("%s names no server: asking 127.0.0.1", RESOLV_PATH);
		return 0;
	}
	return evdns_base_nameserver_ip_add(dns, "127.0.0.1") == 0 ? 0 : -EADDRNOTAVAIL;
}

struct resolver *resolver_new(struct event_base *base, const struct addr *nameservers, size_t n)
{
	struct resolver *r = calloc(1, sizeof(*r));
	int err = -ENOMEM;

	evdns_set_log_fn(on_evdns_log);
	if (r) {
		LIST_INIT(&r->watches);
		r->base = base;
		r->dns = evdns_base_new(base, 0);
	}
	if (r && r->dns) {
		/* Before resolv.conf is read, whose `options` have the last word. */
		(void)evdns_base_set_option(r->dns, "timeout:", "2");
		(void)evdns_base_set_option(r->dns, "attempts:", "3");
		(void)evdns_base_set_option(r->dns, "randomize-case:", "0");
		err = add_nameservers(r->dns, nameservers, n);
	}
	if (err < 0) {
		(void)log_errno(err, "cannot set name resolution up");
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
	if (r->dns)
		evdns_base_free(r->dns, 0);
	free(r);
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "idle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include "../loop.h"

/* A server that ends a connection within this time has not waited for another request on it. */
#define SOON_NS NSEC_PER_SEC

static struct server_part *part_of(const struct idle *i, const struct server *s)
{
	return &s->parts[i->worker];
}

/* ---- one of them ------------------------------------------------------------------------ */

static void close_conn(struct idle *i, struct conn *c)
{
	conn_close(c, false);
	loop_conn_gone(i->loop, c);
}

struct kept *kept_begin(struct idle *i, struct conn *c)
{
	struct kept *k = c->kept;

	if (!k)
		k = c->kept = calloc(1, sizeof(*k));
	if (k) {
		k->conn = c;
		k->idle = i;
	}
	if (!k || c->fin_seen || c->failed || !kept_is_current(k)) {
		close_conn(i, c);
		return NULL;
	}
	k->since_ns = i->loop->now;
	k->reused = c->used;
	if (k->reused)
		part_of(i, c->server)->fickle = false;
	c->used = true;
	return k;
}

void kept_close(struct kept *k)
{
	close_conn(k->idle, k->conn);
}

/* Whether its last answer was a moment ago: how long it will be kept is not seen yet. */
static bool is_young(const struct kept *k)
{
	return k->idle->loop->now - k->since_ns < SOON_NS;
}

void idle_note_end(struct idle *i, const struct conn *c)
{
	const struct kept *k = c->kept;

	if (k && !k->reused && is_young(k))
		part_of(i, c->server)->fickle = true;
}

bool kept_is_over(const struct kept *k, uint32_t events)
{
	/* What epoll reported together with what made it idle may tell of bytes of its last
	 * response, which have been read since. */
	if (!(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) &&
	    (!(events & EPOLLIN) || conn_is_quiet(k->conn)))
		return false;
	idle_note_end(k->idle, k->conn);
	return true;
}

bool kept_is_doubtful(const struct kept *k)
{
	return !k->reused && part_of(k->idle, k->conn->server)->fickle && is_young(k);
}

bool kept_makes_way(const struct kept *k, const struct kept *old)
{
	return !k->conn->identified && kept_is_doubtful(k) && kept_is_doubtful(old);
}

/* ---- those that will do for the same ---------------------------------------------------- */

/* Of a client's address and a server's some bytes, a word at a time. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 32;
}

/* As kept_goes_to() compares. Of a server that is wherever the client wants to go, with that. */
static struct kept_list *row_of(struct idle *i, const struct server *s, const struct addr *where,
				const struct sender *from)
{
	static const struct sender own;
	uint64_t hash = mix(i->seed, (uintptr_t)s), words[2];

	if (!from)
		from = &own;
	memcpy(words, &from->addr, sizeof(words));
	hash = mix(mix(mix(hash, words[0]), words[1]), from->scope);
	if (where && server_is_original(s)) {
		memset(words, 0, sizeof(words));
		if (where->sa.sa_family == AF_INET6)
			memcpy(words, &where->in6.sin6_addr, sizeof(words));
		else if (where->sa.sa_family == AF_INET)
			words[0] = where->in4.sin_addr.s_addr;
		hash = mix(mix(mix(hash, words[0]), words[1]), addr_port(where));
	}
	return &i->rows[hash & (i->n_rows - 1)];
}

static struct kept_list *row_of_kept(struct idle *i, const struct kept *k)
{
	return row_of(i, k->conn->server, &k->conn->peer, &k->conn->from);
}

static void begin_rows(struct idle *i)
{
	i->rows = i->few;
	i->n_rows = IDLE_ROWS;
	for (size_t row = 0; row < i->n_rows; row++)
		TAILQ_INIT(&i->rows[row]);
}

/* Without memory for more there are as many as before, and longer ones. */
static void add_rows(struct idle *i)
{
	struct kept_list *rows = reallocarray(NULL, 2 * i->n_rows, sizeof(*rows));
	struct kept *k;

	if (!rows)
		return;
	if (i->rows != i->few)
		free(i->rows);
	i->rows = rows;
	i->n_rows *= 2;
	for (size_t row = 0; row < i->n_rows; row++)
		TAILQ_INIT(&rows[row]);
	TAILQ_FOREACH (k, &i->by_age, age_link)
		TAILQ_INSERT_HEAD(row_of_kept(i, k), k, alike_link);
}

/* ---- all of them ------------------------------------------------------------------------ */

static void forget(struct kept *k)
{
	struct idle *i = k->idle;
	struct server_part *part = part_of(i, k->conn->server);

	TAILQ_REMOVE(&part->kept, k, link);
	TAILQ_REMOVE(&i->by_age, k, age_link);
	TAILQ_REMOVE(row_of_kept(i, k), k, alike_link);
	i->n--;
	loop_timer_cancel(i->loop, &k->timer);
	part->n_kept--;
	k->conn->event = NULL;
}

static void drop(struct kept *k)
{
	forget(k);
	kept_close(k);
}

/* It was not used for keepalive_timeout. */
static void on_expired(struct timer *t)
{
	drop(container_of(t, struct kept, timer));
}

static void on_event(struct conn *c, uint32_t events)
{
	if (kept_is_over(c->kept, events))
		drop(c->kept);
}

void idle_init(struct idle *i, struct loop *loop, unsigned int worker)
{
	*i = (struct idle){.loop = loop, .worker = worker};
	TAILQ_INIT(&i->by_age);
	begin_rows(i);
	if (getrandom(&i->seed, sizeof(i->seed), GRND_NONBLOCK) < 0)
		i->seed = now_ns();
}

void idle_fini(struct idle *i)
{
	struct kept *k;

	while ((k = TAILQ_FIRST(&i->by_age)))
		drop(k);
	if (i->rows != i->few)
		free(i->rows);
	begin_rows(i);
}

void idle_keep(struct idle *i, struct conn *c, const struct pool_config *config)
{
	struct server_part *part = part_of(i, c->server);
	struct kept *k, *last;

	if (!config->keepalive) {
		close_conn(i, c);
		return;
	}
	k = kept_begin(i, c);
	if (!k)
		return;
	if (part->n_kept >= config->keepalive) {
		last = TAILQ_LAST(&part->kept, kept_list);
		if (kept_makes_way(k, last)) {
			kept_close(k);
			return;
		}
		drop(last);
	}
	c->event = on_event;
	k->timer.fire = on_expired;
	loop_timer_set(i->loop, &k->timer, i->loop->now + config->keepalive_timeout);
	part->n_kept++;
	TAILQ_INSERT_HEAD(&part->kept, k, link);
	TAILQ_INSERT_TAIL(&i->by_age, k, age_link);
	TAILQ_INSERT_HEAD(row_of_kept(i, k), k, alike_link);
	if (++i->n > i->n_rows)
		add_rows(i);
}

struct conn *idle_take(struct idle *i, const struct server *server, const struct addr *where,
		       const struct sender *from, bool careful)
{
	struct kept *k, *next;

	for (k = TAILQ_FIRST(row_of(i, server, where, from)); k; k = next) {
		next = TAILQ_NEXT(k, alike_link);
		if (!kept_goes_to(k, server, where, from) || (careful && kept_is_doubtful(k)))
			continue;
		if (conn_is_quiet(k->conn)) {
			forget(k);
			return k->conn;
		}
		/* It has ended, or says what nobody asked for; the event is on its way. */
		idle_note_end(i, k->conn);
		drop(k);
	}
	return NULL;
}

void idle_check(struct idle *i)
{
	struct kept *k, *next;

	for (k = TAILQ_FIRST(&i->by_age); k; k = next) {
		next = TAILQ_NEXT(k, age_link);
		if (!kept_is_current(k))
			drop(k);
	}
}

bool idle_give_up(struct idle *i)
{
	struct kept *k = TAILQ_FIRST(&i->by_age);

	if (k)
		drop(k);
	return k;
}

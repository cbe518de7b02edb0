// SPDX-License-Identifier: GPL-2.0-or-later
#include "balance.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "accept.h"
#include "daemon.h"
#include "listener.h"
#include "setup.h"
#include "worker.h"

/* Workers that are looked at for one connection, in turn: with many of them that is enough. */
#define CANDIDATES 4
/* A difference of less than one in so many is not worth a letter. */
#define TOLERANCE 4
/* The daemon's descriptors that no session has, generously. */
#define OWN_FDS        64
#define OWN_FDS_WORKER 16

struct handover {
	struct letter letter;
	struct listener *listener;
	struct addr client;
	uint32_t slot;
	int fd;
	bool denied;
	bool retracted; /* it stayed where it was */
};

/* A connection that the program has chosen a worker for counts before that accepts it, as far as it
 * is waited for: see spread-api.h. */
static uint64_t on_its_way(const struct spread_worker *l)
{
	uint64_t chosen = __atomic_load_n(&l->chosen, __ATOMIC_RELAXED);
	uint64_t arrived = __atomic_load_n(&l->arrived, __ATOMIC_RELAXED);
	int64_t lost = __atomic_load_n(&l->lost, __ATOMIC_RELAXED);

	return (uint64_t)MAX((int64_t)(chosen - arrived) - lost, 0);
}

unsigned int balance_incoming(const struct worker *w)
{
	return __atomic_load_n(&w->load->incoming, __ATOMIC_SEQ_CST);
}

static uint64_t load_of(struct worker *w)
{
	return atomic_load_explicit(&w->home.n, memory_order_relaxed) +
	       __atomic_load_n(&w->load->incoming, __ATOMIC_RELAXED) + on_its_way(w->load);
}

/* The least busy of a few others, if `w` is clearly busier; else `w`. */
static struct worker *choose(struct worker *w)
{
	struct daemon *d = w->daemon;
	unsigned int others = d->n_workers - 1;
	uint64_t mine = load_of(w), least = mine;
	struct worker *best = w;

	for (unsigned int i = 0; i < MIN(others, CANDIDATES); i++) {
		struct worker *o = &d->workers[(w->index + 1 + w->turn++ % others) % d->n_workers];
		uint64_t load = load_of(o);

		if (load < least) {
			least = load;
			best = o;
		}
	}
	return mine > least + least / TOLERANCE ? best : w;
}

static void on_handover(void *owner, void *arg)
{
	struct worker *w = owner;
	struct handover *h = arg;

	w->loop.now = now_ns();
	if (!h->retracted)
		accept_session(w, h->listener, h->fd, h->slot, &h->client, h->denied);
	setup_unref(h->listener->setup);
	(void)__atomic_fetch_sub(&w->load->incoming, 1, __ATOMIC_SEQ_CST);
	free(h);
	loop_look(&w->loop);
}

/*
 * A worker that drains is done when it has no session and none is `incoming`. Therefore that is
 * counted first, and `draining` looked at after; a worker that was counted wrongly is told. Takes
 * `h`. False: retracted.
 */
static bool post(struct worker *to, struct handover *h)
{
	bool retracted;

	(void)setup_ref(h->listener->setup);
	(void)__atomic_fetch_add(&to->load->incoming, 1, __ATOMIC_SEQ_CST);
	h->retracted = retracted = atomic_load(&to->daemon->draining);
	mailbox_post(&to->mail, &h->letter, on_handover, h);
	return !retracted;
}

/*
 * Whether descriptors are plenty. When they run out, the worker that accepts must not accept more
 * than can be dialled, and it has the reserve for that: so its sessions stay with it.
 */
static bool plenty(struct daemon *d)
{
	uint64_t used =
	    OWN_FDS + (uint64_t)OWN_FDS_WORKER * d->n_workers + 2 * slots_used(&d->slots);
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 && used < limit.rlim_cur / 4 * 3;
}

/* False: it stays here. */
static bool hand_over(struct worker *to, const struct handover *what)
{
	struct daemon *d = to->daemon;
	struct handover *h = atomic_load(&d->draining) || !plenty(d) ? NULL : malloc(sizeof(*h));

	if (!h)
		return false;
	*h = *what;
	return post(to, h);
}

void balance_start(struct worker *w, struct listener *l, int fd, uint32_t slot,
		   const struct addr *client, bool denied)
{
	struct handover h = {
	    .listener = l, .client = *client, .slot = slot, .fd = fd, .denied = denied};
	struct worker *to = choose(w);

	if (to == w || !hand_over(to, &h))
		accept_session(w, l, fd, slot, client, denied);
	else
		stat_inc(&w->stats.handovers);
}

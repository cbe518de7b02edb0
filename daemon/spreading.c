// SPDX-License-Identifier: GPL-2.0-or-later
#include "spreading.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding.h"
#include "config/config.h"
#include "intercept/spread.h"
#include "listener.h"
#include "log.h"
#include "setup.h"

/* Addresses that a reload may bring, besides twice those that there are. */
#define MORE_BINDS 64
/* The map is an array of lists. */
#define SOCKETS_MAX 65536

struct spreading {
	struct spread spread;
	uint32_t last_group;
};

/* ---- opening ---------------------------------------------------------------------------- */

bool spreading_is_wanted(const struct config *c, unsigned int n_workers)
{
	return n_workers > 1 && (c->spread == SPREAD_SESSIONS ||
				 (c->spread == SPREAD_AUTO && c->engine != ENGINE_COPY));
}

/* For all sockets of an address of each worker; more of one than there are workers now are in the
 * rest. */
static unsigned int room(const struct config *c, unsigned int n_workers)
{
	size_t binds = MORE_BINDS;

	for (size_t i = 0; i < c->n_listeners; i++)
		binds += 2 * c->listeners[i].n_binds;
	return (unsigned int)MIN(binds * n_workers, SOCKETS_MAX);
}

int spreading_open(const struct config *c, unsigned int n_workers, struct spreading **ret,
		   char why[256])
{
	struct spreading *st = calloc(1, sizeof(*st));
	int err;

	if (!st) {
		(void)snprintf(why, 256, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	err = spread_open(&st->spread, n_workers, room(c, n_workers), why);
	if (err)
		spreading_close(st);
	else
		*ret = st;
	return err;
}

void spreading_close(struct spreading *st)
{
	if (!st)
		return;
	spread_close(&st->spread);
	free(st);
}

struct spread_worker *spreading_worker(struct spreading *st, unsigned int worker)
{
	return st ? &st->spread.workers[worker] : NULL;
}

/* ---- sockets ---------------------------------------------------------------------------- */

/* Its sockets are the kernel's to choose from: those that were passed are not, nor are the copies
 * of one. */
static bool is_group(const struct binding *b)
{
	return b->n_sockets > 1 && (addr_has_port(&b->wanted) || addr_is_steered(&b->wanted));
}

/* The sockets are about to be closed, and leave the other map then: while somebody who waits there
 * is looked for, they are in it (is_over() in lingering.c). */
static void forget(struct spreading *st, struct binding *b)
{
	for (unsigned int i = 0; b->group && i < b->n_sockets; i++)
		if (b->sockets[i].cookie)
			spread_forget_socket(&st->spread, b->sockets[i].cookie);
	b->group = 0;
}

/* The sockets stay, and may be told to the program again, as another group. */
static void undo(struct spreading *st, struct binding *b)
{
	for (unsigned int i = 0; b->group && i < b->n_sockets; i++) {
		if (b->sockets[i].queued)
			spread_forget_worker(&st->spread, b->group, i);
		b->sockets[i].queued = false;
	}
	forget(st, b);
}

/* Each worker accepts at several, where there are more than workers: then it gets its clients by
 * the first. */
static int fill(struct spreading *st, struct binding *b)
{
	int err = 0;

	b->group = ++st->last_group;
	for (unsigned int i = 0; !err && i < b->n_sockets; i++) {
		struct listen_socket *s = &b->sockets[i];

		err = spread_add_socket(&st->spread, b->group, s->fd, &s->cookie);
		if (err || i >= st->spread.n_workers)
			continue;
		err = spread_add_worker(&st->spread, b->group, i, s->fd);
		s->queued = !err;
	}
	return err;
}

static void to_hash(struct binding *b, const struct listener *l)
{
	int err = spread_detach(b->sockets[0].fd);

	atomic_store_explicit(&b->by_sessions, false, memory_order_relaxed);
	if (err)
		(void)log_errno(err,
				"listener %s: taking the program that spreads from its sockets",
				l->config->name);
}

static void to_sessions(struct spreading *st, struct binding *b, const struct listener *l)
{
	int err = b->group ? 0 : fill(st, b);

	if (!err)
		err = spread_attach(&st->spread, b->sockets[0].fd);
	if (!err) {
		atomic_store_explicit(&b->by_sessions, true, memory_order_relaxed);
		return;
	}
	log_about(LOG_LVL_WARNING, LOG_ABOUT(.listener = l->config->name),
		  "listener %s: its clients are spread by hash: %s", l->config->name,
		  strerror(-err));
	undo(st, b);
	/* That of a worker process before this one may be there. */
	to_hash(b, l);
}

void spreading_follow(struct spreading *st, const struct setup *s)
{
	bool wanted = st && spreading_is_wanted(s->config, st->spread.n_workers);

	for (size_t i = 0; i < s->n_listeners; i++) {
		const struct listener *l = &s->listeners[i];

		for (size_t j = 0; j < l->config->n_binds; j++) {
			struct binding *b = l->bindings[j];

			if (!is_group(b) || (wanted && atomic_load(&b->by_sessions)))
				continue;
			if (wanted)
				to_sessions(st, b, l);
			else
				to_hash(b, l);
		}
	}
	if (st)
		st->spread.state->on = wanted;
}

void spreading_retire(struct spreading *st, const struct setup *was)
{
	for (size_t i = 0; st && i < was->n_listeners; i++)
		for (size_t j = 0; j < was->listeners[i].config->n_binds; j++)
			if (!binding_is_current(was->listeners[i].bindings[j]))
				forget(st, was->listeners[i].bindings[j]);
}

void spreading_end(struct spreading *st)
{
	if (st)
		st->spread.state->on = 0;
}

/* ---- reports ---------------------------------------------------------------------------- */

void spreading_figures(const struct spreading *st, struct spreading_figures *ret)
{
	*ret = (struct spreading_figures){0};
	if (!st)
		return;
	ret->by_sessions = st->spread.state->on;
	ret->missed = st->spread.state->missed;
	for (unsigned int i = 0; i < st->spread.n_workers; i++)
		ret->chosen += __atomic_load_n(&st->spread.workers[i].chosen, __ATOMIC_RELAXED);
}

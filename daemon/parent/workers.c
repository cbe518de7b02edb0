// SPDX-License-Identifier: GPL-2.0-or-later
/* The workers' births, what they ask of their parent, and who serves. How one makes way for the
 * next is in handover.c, how they end in deaths.c.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "../log.h"
#include "handover.h"
#include "heritage.h"
#include "hiding.h"
#include "parent.h"

/* For one that is told to serve to say that it does: it has some system calls to make. */
#define SERVE_NS (10 * NSEC_PER_SEC)
/* ... once it is told again: all of the daemon may have been stopped, or a message was lost. */
#define SERVE_AGAIN_NS (5 * NSEC_PER_SEC)
/* Between tries, which double, and how many there are. */
#define AGAIN_NS     (100 * NSEC_PER_MSEC)
#define AGAIN_MAX_NS (5 * NSEC_PER_SEC)
#define FAILURES_MAX 8
/* A worker that has not answered by the second time that it should be asked again hangs. */
#define MISSED_ABORT 2
#define MISSED_KILL  3

static struct child *free_place(struct parent *p)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (p->children[i].state == CHILD_NONE)
			return &p->children[i];
	return NULL;
}

bool workers_any(const struct parent *p)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (p->children[i].state != CHILD_NONE)
			return true;
	return false;
}

static void tell_facts(struct parent *p, struct child *c)
{
	struct message m = {.kind = MESSAGE_FACTS,
			    .facts = {.parent = (int32_t)getpid(),
				      .generation = c->generation,
				      .deaths = p->deaths,
				      .log_lost = p->log_lost + log_lost()}};

	child_tell(c, &m, -1);
}

void workers_tell_facts(struct parent *p, const struct child *but)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (p->children[i].state != CHILD_NONE && &p->children[i] != but)
			tell_facts(p, &p->children[i]);
}

/* ---- handing over ----------------------------------------------------------------------- */

/* Nobody else accepts any more. */
void workers_serve(struct parent *p, struct child *c)
{
	struct message m = {.kind = MESSAGE_SERVE};

	child_become(c, CHILD_SERVING);
	child_set_deadline(c, SERVE_NS);
	p->serving = c;
	p->next = NULL;
	tell_facts(p, c);
	child_tell(c, &m, -1);
	ending_tell(p, c);
	holder_keep(&p->holder, c->generation);
}

/* It does. One that was told to stop meanwhile has another deadline by now. */
static void accepts(struct parent *p, struct child *c)
{
	if (c->state != CHILD_SERVING)
		return;
	c->accepts = true;
	child_set_deadline(c, 0);
	/* Not sooner: what earlier ones have left has done their work up to here. */
	deposits_keep(&p->deposits, c->generation);
	p->failed = 0;
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		handover_served(&p->children[i]);
	if (p->upgrade.state == UPGRADE_HANDING)
		upgrade_succeeded(p);
}

static void retired(struct parent *p, struct child *c)
{
	if (c->state != CHILD_RETIRING)
		return;
	child_drain(c);
	p->serving = NULL;
	if (p->next && p->next->state == CHILD_READY && !p->stopping)
		workers_serve(p, p->next);
	else
		workers_ensure(p); /* it has died meanwhile */
}

/* What was read from a file: see upgrade_begin(). */
static void keep_file(struct child *c, const char file[FILE_MAX])
{
	(void)snprintf(c->file, sizeof(c->file), "%.*s", FILE_MAX - 1, file);
}

static void say_ready(struct parent *p, const char text[STATUS_MAX])
{
	char line[STATUS_MAX];

	p->reloading = false;
	if (ending_is_near(p))
		return; /* that was said, and is the last word */
	(void)snprintf(line, sizeof(line), "%.*s", STATUS_MAX - 1, text);
	manager_ready(line);
}

static void ready(struct parent *p, struct child *c, const struct message_ready *r)
{
	if (c->state != CHILD_STARTING)
		return;
	if (c->from_disk && r->heritage != HERITAGE_VERSION) {
		(void)snprintf(c->failure, sizeof(c->failure),
			       "the program on disk cannot take over from this one: a restart is "
			       "needed");
		child_kill(c);
		return;
	}
	child_become(c, CHILD_READY);
	child_set_deadline(c, 0);
	/* Who serves may have given up meanwhile where connects are sent to from now on. */
	hiding_ends(&p->holder, c->generation);
	c->drain_ns = r->drain_ns;
	c->delay_ns = p->delay_ns = r->delay_ns;
	keep_file(c, r->file);
	p->failures = 0;
	p->served = true;
	p->manner = r->manner;
	log_set_manner(&p->manner);
	say_ready(p, r->status);
	if (c->from_disk)
		upgrade_ready(p);
	if (!p->serving) {
		workers_serve(p, c);
		return;
	}
	/* One that is making way already is served after, as it would have been for a worker before
	 * this one that has died. */
	if (p->serving->state == CHILD_SERVING)
		handover_begin(p->serving);
}

/* The generation that is ready; 0: none is. */
static unsigned int waiting(const struct parent *p)
{
	return p->next && p->next->state == CHILD_READY ? p->next->generation : 0;
}

/* ---- what a worker says ----------------------------------------------------------------- */

static void hold(struct parent *p, struct child *c, const struct bind_request *r)
{
	struct message m = {.kind = MESSAGE_HELD};
	int fd = holder_hold(&p->holder, r, c->generation, &m.held);

	child_tell(c, &m, fd);
}

static void release(struct parent *p, struct child *c, const char name[BIND_NAME_MAX])
{
	struct message m = {.kind = MESSAGE_HELD};

	if (memchr(name, '\0', BIND_NAME_MAX))
		holder_release(&p->holder, name, c->generation);
	child_tell(c, &m, -1);
}

/* The worker beside this one to whose addresses connects are sent, or will be; 0: there is none.
 * One that was told to stop, for it has yielded, is none any more. */
static unsigned int needs_addresses(const struct parent *p, const struct child *c)
{
	const struct child *other = c == p->serving ? p->next : p->serving;
	bool needs = other && other != c &&
		     (other->state == CHILD_READY || other->state == CHILD_SERVING ||
		      (other->state == CHILD_RETIRING && other->yields));

	return needs ? other->generation : 0;
}

static void hide(struct parent *p, struct child *c, const char name[BIND_NAME_MAX])
{
	struct message m = {.kind = MESSAGE_HELD};

	if (memchr(name, '\0', BIND_NAME_MAX))
		hiding_given_up(&p->holder, name, c->generation, needs_addresses(p, c));
	child_tell(c, &m, -1);
}

static void change(struct parent *p, struct child *c, const struct bind_request *r)
{
	struct message m = {.kind = MESSAGE_HELD};

	m.held.error = holder_change(&p->holder, r, c->generation);
	child_tell(c, &m, -1);
}

static void fetch(struct parent *p, struct child *c, const char name[BIND_NAME_MAX])
{
	struct message m = {.kind = MESSAGE_HELD};

	child_tell(c, &m, deposits_find(&p->deposits, name));
}

static void leave(struct parent *p, const struct child *c, const char name[BIND_NAME_MAX], int fd)
{
	int err = deposits_leave(&p->deposits, name, c->generation, fd);

	if (err)
		log_error("keeping what worker %d leaves: %s", (int)c->pid, strerror(-err));
}

static void reloaded(struct parent *p, struct child *c, const struct message_reloaded *r)
{
	struct message again = {.kind = MESSAGE_SIGNAL, .signal = SIGHUP};

	c->drain_ns = r->drain_ns;
	c->delay_ns = r->delay_ns;
	keep_file(c, r->file);
	if (c != p->serving || c->state != CHILD_SERVING)
		return; /* one that makes way says nothing of the daemon any more */
	p->delay_ns = r->delay_ns;
	p->manner = r->manner;
	log_set_manner(&p->manner);
	say_ready(p, r->status);
	/* The one that is to follow may have read the file before it was changed. */
	if (p->next)
		child_tell(p->next, &again, -1);
}

static void reloading(struct parent *p, const struct child *c, uint64_t since)
{
	if (c != p->serving || c->state != CHILD_SERVING || ending_is_near(p))
		return;
	p->reloading = true;
	manager_reloading(since);
}

static void alive(struct parent *p, struct child *c, const struct message_reloaded *r)
{
	c->asked_ns = 0;
	if (c != p->serving)
		return;
	manager_feed(&p->manager);
	if (p->reloading && *r->status)
		reloaded(p, c, r); /* that it was over was lost */
}

static void on_message(struct child *c, const struct message *m, int *fd)
{
	struct parent *p = c->owner;

	if (c->killed && m->kind != MESSAGE_FAILED)
		return;
	switch (m->kind) {
	case MESSAGE_HOLD:
		hold(p, c, &m->hold);
		break;
	case MESSAGE_READY:
		ready(p, c, &m->ready);
		break;
	case MESSAGE_RELEASE:
		release(p, c, m->release);
		break;
	case MESSAGE_HIDE:
		hide(p, c, m->release);
		break;
	case MESSAGE_ACCESS:
		change(p, c, &m->hold);
		break;
	case MESSAGE_LEAVE:
		leave(p, c, m->deposit, TAKE_FD(*fd));
		break;
	case MESSAGE_FETCH:
		fetch(p, c, m->deposit);
		break;
	case MESSAGE_RELOADING:
		reloading(p, c, m->reloading);
		break;
	case MESSAGE_RELOADED:
		reloaded(p, c, &m->reloaded);
		break;
	case MESSAGE_FAILED:
		(void)snprintf(c->failure, sizeof(c->failure), "%.*s", (int)sizeof(m->failure) - 1,
			       m->failure);
		break;
	case MESSAGE_SERVING:
		accepts(p, c);
		break;
	case MESSAGE_YIELDED:
		handover_yielded(c, &p->holder, waiting(p));
		break;
	case MESSAGE_RETIRED:
		retired(p, c);
		break;
	case MESSAGE_ALIVE:
		alive(p, c, &m->reloaded);
		break;
	case MESSAGE_UPGRADE:
		upgrade_begin(p, c->pid);
		break;
	default:
		log_error("worker %d says what its parent does not know (%u)", (int)c->pid,
			  m->kind);
	}
}

/* One that does answers that it does. */
static void serve_again(struct child *c)
{
	struct message m = {.kind = MESSAGE_SERVE};

	c->told_again = true;
	child_set_deadline(c, SERVE_AGAIN_NS);
	child_tell(c, &m, -1);
}

static void on_late(struct child *c)
{
	struct parent *p = c->owner;

	if (c->state == CHILD_SERVING && !c->told_again && !c->killed) {
		serve_again(c);
		return;
	}
	switch (c->state) {
	case CHILD_RETIRING:
		if (handover_late(c))
			retired(p, c);
		return;
	case CHILD_STARTING:
		(void)snprintf(c->failure, sizeof(c->failure), "it was not ready within %llu s",
			       (unsigned long long)(p->start_ns / NSEC_PER_SEC));
		break;
	default:
		if (!c->killed)
			log_warn("worker %d (%s) takes too long: killing it", (int)c->pid,
				 child_state_str[c->state]);
	}
	child_end(c);
}

static const struct child_events child_events = {.message = on_message, .late = on_late};

int workers_watch(struct parent *p, struct child *c)
{
	int err = child_watch(c, p->base, &child_events, p);

	if (!err && c->state == CHILD_DRAINING)
		child_drain(c);
	return err;
}

/* False: no memory for the question, which says nothing of the worker. One whose channel is full
 * or closed is asked, and does not answer. */
static bool ask(struct parent *p, struct child *c)
{
	if (child_ask(c))
		return true;
	manager_feed(&p->manager);
	return false;
}

/*
 * One of its threads does not turn, or a message was lost, so it is asked once more. Counted is how
 * often this process was at work meanwhile: when all of the daemon was stopped (a frozen container)
 * the worker has its time yet. SIGABRT first, for a core. The manager's watchdog is fed once: it
 * ends all if that does not help.
 */
static void miss(struct parent *p, struct child *c)
{
	if (c->missed == 0 && !ask(p, c))
		return;
	c->missed++;
	if (c->missed == MISSED_ABORT) {
		log_error("worker %d (generation %u) hangs: one of its threads has not turned for "
			  "%.1f s: ending it",
			  (int)c->pid, c->generation,
			  (double)(now_ns() - c->asked_ns) / (double)NSEC_PER_SEC);
		manager_feed(&p->manager);
		child_abort(c);
	} else if (c->missed == MISSED_KILL) {
		child_kill(c);
	}
}

/* While nobody serves, how long that may take is watched here, and so is the end. */
void workers_beat(struct parent *p)
{
	struct child *c = p->serving;

	if (!c || p->stopping) {
		manager_feed(&p->manager);
	} else if (c->asked_ns) {
		miss(p, c);
	} else if (ask(p, c)) {
		c->asked_ns = now_ns();
		c->missed = 0;
	}
}

/* ---- birth ------------------------------------------------------------------------------ */

void workers_start_later(struct parent *p, unsigned int n)
{
	uint64_t ns = n < 7 ? MIN(AGAIN_NS << (n - 1), AGAIN_MAX_NS) : AGAIN_MAX_NS;
	struct timeval tv = timeval_of(ns);

	if (evtimer_add(p->again, &tv) == 0)
		return;
	log_error("no memory to start another worker");
	parent_end(p, 1);
}

void workers_try_again(struct parent *p)
{
	if (p->failures < FAILURES_MAX) {
		workers_start_later(p, p->failures);
		return;
	}
	log_error("%u workers in a row died before they were ready: giving up", p->failures);
	parent_end(p, 1);
}

void workers_start(struct parent *p, bool from_disk)
{
	struct child *c = free_place(p);
	int err = -EAGAIN;

	if (c)
		err = child_start(c, &p->program, from_disk, p->generation + 1);
	if (!err) {
		p->generation++;
		p->next = c;
		err = workers_watch(p, c);
		if (!err) {
			child_set_deadline(c, p->start_ns);
			tell_facts(p, c);
			return;
		}
		child_kill(c); /* and its end is the failure */
		return;
	}
	log_error("starting a worker: %s", strerror(-err));
	if (from_disk) {
		upgrade_failed(p, strerror(-err));
	} else {
		p->failures++;
		workers_try_again(p);
	}
}

void workers_ensure(struct parent *p)
{
	if (p->served && !p->stopping && !p->serving && !p->next &&
	    p->upgrade.state == UPGRADE_NONE && !evtimer_pending(p->again, NULL))
		workers_start(p, false);
}

void workers_abandon_next(struct parent *p)
{
	if (!p->next || !p->next->from_disk || p->next->state != CHILD_STARTING)
		return;
	p->next->abandoned = true;
	child_end(p->next);
	p->next = NULL;
}

/* ---- signals ---------------------------------------------------------------------------- */

void workers_signal(struct parent *p, int sig)
{
	struct message m = {.kind = MESSAGE_SIGNAL, .signal = sig};

	/* One that drains writes to its log still; one that starts may have read the file before it
	 * was changed, and heeds this when it is ready. */
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (p->children[i].state != CHILD_NONE &&
		    (p->children[i].state != CHILD_DRAINING || sig == SIGUSR1))
			child_tell(&p->children[i], &m, -1);
}

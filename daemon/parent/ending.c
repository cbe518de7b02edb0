// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The daemon's end: a signal, drain_delay, and the drain. For drain_delay all goes on, so a worker
 * that dies then is replaced, and one that is taking over from another does. From the drain on
 * nobody is started.
 */
#include "../log.h"
#include "handover.h"
#include "parent.h"

bool ending_is_near(const struct parent *p)
{
	return p->stopping || p->drain_due_ns;
}

void ending_tell(const struct parent *p, struct child *c)
{
	struct message m = {.kind = MESSAGE_ENDING};
	uint64_t now = now_ns();

	if (!p->drain_due_ns)
		return;
	m.ending = p->drain_due_ns > now ? p->drain_due_ns - now : 1;
	child_tell(c, &m, -1);
}

/* One that was not told to drain yet, by `m`, and if it is about to make way there is nobody for
 * whom; one that starts has no sessions. One that has made way is to know that nobody serves any
 * more: it may outlast who does. */
static void end_worker(struct child *c, struct message *m)
{
	struct message over = {.kind = MESSAGE_ENDING};

	if (c->state == CHILD_STARTING || c->state == CHILD_READY) {
		child_end(c);
	} else if (c->state == CHILD_SERVING || c->yields) {
		c->yields = false;
		child_tell(c, m, -1);
		child_drain(c);
	} else if (c->state == CHILD_RETIRING || c->state == CHILD_DRAINING) {
		child_tell(c, &over, -1);
	}
}

/* Those that have made way for another one, or are about to. */
static void tell_retired(struct parent *p, int sig)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (p->children[i].state == CHILD_RETIRING ||
		    p->children[i].state == CHILD_DRAINING)
			handover_signal(&p->children[i], sig);
}

/* From here on nobody is started. `m` is for who serves. */
static void drain(struct parent *p, struct message *m)
{
	(void)event_del(p->again); /* takes no memory, nor does that: */
	(void)event_del(p->delay);
	/* Who waits for another worker is not served. */
	if (p->drain_due_ns && !p->serving)
		p->exit_code = 1;
	p->drain_due_ns = 0;
	p->stopping = true;
	upgrade_failed(p, "the daemon is ending");
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		end_worker(&p->children[i], m);
	/* Each worker has them open until it stops accepting; and no other one will come, for whom
	 * connections should wait. */
	holder_close_doors(&p->holder);
	deposits_close(&p->deposits);
	if (!workers_any(p))
		parent_end(p, p->exit_code);
}

void ending_due(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct message m = {.kind = MESSAGE_ENDING};

	drain(arg, &m);
}

/* False: there is none, and the drain begins. */
static bool delay(struct parent *p, int sig)
{
	struct timeval tv = timeval_of(p->delay_ns);

	if (!p->delay_ns)
		return false;
	if (evtimer_add(p->delay, &tv) < 0) {
		log_error("no memory for a timer: there is no drain_delay");
		return false;
	}
	log_info("signal %d: clients are accepted for another %llu ms, which is drain_delay", sig,
		 (unsigned long long)(p->delay_ns / NSEC_PER_MSEC));
	/* One that takes over may: it is no longer than that until it does. */
	if (p->upgrade.state != UPGRADE_HANDING)
		upgrade_failed(p, "the daemon is ending");
	p->drain_due_ns = now_ns() + p->delay_ns;
	if (p->serving && p->serving->state == CHILD_SERVING)
		ending_tell(p, p->serving);
	return true;
}

void ending_signal(struct parent *p, int sig)
{
	struct message begin = {.kind = MESSAGE_SIGNAL, .signal = sig};
	struct message over = {.kind = MESSAGE_ENDING};
	bool first = !ending_is_near(p);

	if (first)
		manager_stopping();
	/* Those that drain since an upgrade are told of each: they end at the second. */
	tell_retired(p, sig);
	if (first && delay(p, sig))
		return;
	if (p->drain_due_ns)
		log_info("signal %d again: drain_delay is over", sig);
	if (!p->stopping)
		drain(p, p->drain_due_ns ? &over : &begin);
}

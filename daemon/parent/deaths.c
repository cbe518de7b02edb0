// SPDX-License-Identifier: GPL-2.0-or-later
/* The workers' deaths: what each means, and when another one is started. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "../log.h"
#include "parent.h"

/* A worker that crashed so soon after it began to serve, and how often that is nothing. */
#define SOON_NS      (5 * NSEC_PER_SEC)
#define CRASHES_FREE 2

#define WHY_MAX (MESSAGE_TEXT_MAX + 128)

static void describe(const struct child *c, int status, char ret[WHY_MAX])
{
	char buf[64];

	(void)snprintf(ret, WHY_MAX, "the worker %s%s%s", child_how(status, buf),
		       c->failure[0] ? ": " : "", c->failure);
}

/* Ours: usage and configuration, or anything else. */
static int code_of(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == 2 ? 2 : 1;
}

/* One that was never ready. */
static void stillborn(struct parent *p, const struct child *c, int status)
{
	char why[WHY_MAX];

	describe(c, status, why);
	holder_forget(&p->holder, c->generation);
	deposits_forget(&p->deposits, c->generation);
	if (c->abandoned)
		return;
	p->next = NULL;
	if (c->from_disk) {
		upgrade_failed(p, why);
	} else if (!p->served) {
		/* The first. It has said why, but where it could not. */
		if (WIFSIGNALED(status))
			log_error("%s", why);
		parent_end(p, code_of(status));
	} else {
		p->failures++;
		log_error("%s before it was ready (%u in a row)", why, p->failures);
		workers_try_again(p);
	}
}

/* It was not asked to end. */
static void died(struct parent *p, const struct child *c, int status)
{
	char buf[64];

	p->deaths++;
	log_error("worker %d (generation %u) %s%s%s", (int)c->pid, c->generation,
		  child_how(status, buf),
		  WIFSIGNALED(status) && WCOREDUMP(status) ? " (core dumped)" : "",
		  c->accepts ? ": its sessions are lost" : " before it accepted");
	workers_tell_facts(p, c);
}

static void log_ended(const struct child *c)
{
	log_info("worker %d (generation %u) has ended", (int)c->pid, c->generation);
}

/* What crashes as soon as it serves will again: the first few times it is replaced at once. */
static void count_crash(struct parent *p, const struct child *c, int status)
{
	bool crashed = !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL;

	p->crashes = crashed && now_ns() - c->since_ns < SOON_NS ? p->crashes + 1 : 0;
	if (p->crashes <= CRASHES_FREE)
		return;
	log_warn("%u workers in a row crashed as soon as they served: the next one has to wait",
		 p->crashes);
	workers_start_later(p, p->crashes - CRASHES_FREE);
}

/*
 * What a worker has left that was about to serve, and has not said that it does, may be at work
 * already: by what it intercepts connects wait for the next worker, since the one before it was
 * told to make way, which cannot be taken back. So it stays, and that of the one before it, which
 * came to nothing, too, is closed. There are never more than two of these beside those of who
 * served last.
 */
static void failed_to_serve(struct parent *p, const struct child *c)
{
	if (p->failed)
		deposits_forget(&p->deposits, p->failed);
	p->failed = c->generation;
}

/* It was told to serve, or did. */
static void served(struct parent *p, struct child *c, int status)
{
	bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	char why[WHY_MAX];

	/* One that had no sessions left ends at once: that it had stopped is not read yet. */
	if (c->state == CHILD_RETIRING && well) {
		log_ended(c);
	} else {
		died(p, c, status);
		count_crash(p, c, status);
	}
	if (!c->accepts)
		failed_to_serve(p, c);
	p->serving = NULL;
	if (p->upgrade.state != UPGRADE_HANDING) {
		upgrade_failed(p, "the worker that serves has died meanwhile");
	} else if (c->state == CHILD_SERVING) {
		describe(c, status, why);
		upgrade_failed(p, why);
	}
	if (p->next && p->next->state == CHILD_READY)
		workers_serve(p, p->next);
}

static void ended(struct parent *p, struct child *c, int status)
{
	enum child_state was = c->state;
	bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;

	child_hear_last(c);
	if (p->stopping) {
		if (!well && was != CHILD_STARTING && was != CHILD_READY) {
			died(p, c, status);
			p->exit_code = 1;
		}
		return;
	}
	switch (was) {
	case CHILD_STARTING:
		stillborn(p, c, status);
		break;
	case CHILD_READY:
		/* Its predecessor is about to stop. */
		p->next = NULL;
		failed_to_serve(p, c);
		died(p, c, status);
		upgrade_failed(p, "the new worker has died");
		break;
	case CHILD_SERVING:
	case CHILD_RETIRING:
		served(p, c, status);
		break;
	case CHILD_DRAINING:
		if (well)
			log_ended(c);
		else
			died(p, c, status);
		break;
	case CHILD_NONE:
	case _CHILD_STATE_MAX:
		break;
	}
}

bool workers_ended(struct parent *p, pid_t pid, int status)
{
	struct child *c = NULL;

	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (p->children[i].state != CHILD_NONE && p->children[i].pid == pid)
			c = &p->children[i];
	if (!c)
		return false;
	ended(p, c, status);
	if (p->serving == c)
		p->serving = NULL;
	if (p->next == c)
		p->next = NULL;
	child_gone(c);
	if (p->stopping && !workers_any(p))
		parent_end(p, p->exit_code);
	workers_ensure(p);
	return true;
}

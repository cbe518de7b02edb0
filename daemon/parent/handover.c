// SPDX-License-Identifier: GPL-2.0-or-later
#include "handover.h"

#include "../log.h"
#include "hiding.h"

/* A worker that does not stop accepting is not waited for: nobody accepts meanwhile. */
#define RETIRE_NS (1500 * NSEC_PER_MSEC)
/* ... nor one that does not say before that it has yielded, which takes it 10 ms. */
#define YIELD_NS (500 * NSEC_PER_MSEC)

static void tell_to_retire(struct child *c, bool served)
{
	struct message m = {.kind = MESSAGE_RETIRE, .served = served};

	child_tell(c, &m, -1);
}

static void tell_signal(struct child *c, int sig)
{
	struct message m = {.kind = MESSAGE_SIGNAL, .signal = sig};

	child_tell(c, &m, -1);
}

static void retire(struct child *c)
{
	c->yields = false;
	child_set_deadline(c, RETIRE_NS);
	tell_to_retire(c, false);
	for (unsigned int i = 0; i < c->n_signals; i++)
		tell_signal(c, c->signals[i]);
	c->n_signals = 0;
}

void handover_begin(struct child *c)
{
	struct message m = {.kind = MESSAGE_YIELD};

	c->yields = true;
	c->n_signals = 0;
	child_become(c, CHILD_RETIRING);
	child_set_deadline(c, YIELD_NS);
	child_tell(c, &m, -1);
}

void handover_yielded(struct child *c, struct holder *h, unsigned int next)
{
	if (!c->yields)
		return;
	/* What it accepts last are those who have begun their handshakes. */
	if (next)
		hiding_others(h, next);
	retire(c);
}

void handover_signal(struct child *c, int sig)
{
	if (!c->yields)
		tell_signal(c, sig);
	else if (c->n_signals < ARRAY_SIZE(c->signals))
		c->signals[c->n_signals++] = sig;
}

bool handover_late(struct child *c)
{
	if (c->yields) {
		/* It may send connects to what it has yet, and so that is not hidden. */
		retire(c);
		return false;
	}
	log_warn("worker %d does not stop accepting: not waiting for it", (int)c->pid);
	tell_to_retire(c, false); /* one that was, and could not say so, does nothing */
	return true;
}

/* One of a version that does not know this takes it for what it was told before. */
void handover_served(struct child *c)
{
	if (c->state == CHILD_RETIRING || c->state == CHILD_DRAINING)
		tell_to_retire(c, true);
}

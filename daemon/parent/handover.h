/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the worker that serves makes way for one that is ready. First it intercepts no more, and goes
 * on accepting, for connects may come to what only it has until then. When it has yielded so, that
 * is hidden, and it is told to stop.
 */
#pragma once

#include "child.h"
#include "holder.h"

/* The one that serves is to make way. */
void handover_begin(struct child *c);
/* It has said that it has yielded: what the next one, of this generation, does not want is hidden,
 * and it is to stop. 0: there is none any more. */
void handover_yielded(struct child *c, struct holder *h, unsigned int next);
/* It is told of a signal: what it makes of that depends on whether it was told to stop, which comes
 * first where it is to yield. */
void handover_signal(struct child *c, int sig);
/* It does not say that it has yielded, or stopped. True: it is not waited for any more. */
bool handover_late(struct child *c);
/* The next one accepts: it hears of that if it has made way. */
void handover_served(struct child *c);

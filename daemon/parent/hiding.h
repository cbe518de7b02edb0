/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of the sockets that the parent holds are out of sight (bound_hide()): those that are given
 * up, as long as somebody still accepts who has come there. A worker of which connects are sent to
 * its addresses, or will be in a moment, needs them to be seen, whatever another one gives up.
 */
#pragma once

#include "holder.h"

/* A generation is about to serve: who connects from now on reaches nothing that it does not want,
 * and what is in the queues there is for whoever accepts before. */
void hiding_others(const struct holder *h, unsigned int generation);
/* ... and all that it wants, also what another one has given up before. */
void hiding_ends(const struct holder *h, unsigned int generation);
/* A generation gives up the sockets of that name, which it wants no more. They are hidden, unless
 * `needs` does want them: the generation whose addresses have to be seen; 0: none. */
void hiding_given_up(struct holder *h, const char *name, unsigned int generation,
		     unsigned int needs);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Spreads sessions over the workers. Where the kernel chooses a worker for a connection by a hash
 * of its addresses, of eight busy clients six may well meet at one worker while another one idles;
 * where a program does it by the sessions (spreading.h), these may have ended until it is accepted.
 */
#pragma once

#include <stdbool.h>

#include "addr.h"

struct listener;
struct worker;

/*
 * Begins the session of a connection that `w` accepted, like accept_session(): here, or at a worker
 * with fewer sessions.
 */
void balance_start(struct worker *w, struct listener *l, int fd, uint32_t slot,
		   const struct addr *client, bool denied);
/* How many sessions are on their way to it from other workers. */
unsigned int balance_incoming(const struct worker *w);

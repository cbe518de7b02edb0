/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which engine the daemon has: decided by the configuration, by what may be loaded, by the canary.
 */
#pragma once

#include <stdbool.h>

struct config;
struct daemon;
struct doctor;

/* Whether any listener would use the bypass. */
bool engine_wants_bypass(const struct config *c);

/* Loads the programs, unless they are not wanted: d->maps stays NULL where they cannot be had.
 * Needs privileges. 0, or a negative errno after logging that `engine = kernel` cannot be. */
int engine_open(struct daemon *d, struct doctor *doctor, unsigned int workers);
/*
 * Tries interception, if any is wanted, and loads what it takes: see interception_open(). Needs
 * privileges, and the listeners' sockets. 0, or a negative errno after logging that it cannot be
 * had and is required.
 */
int engine_intercept(struct daemon *d, struct doctor *doctor);
/* The same of steering, without which the daemon is not to start where it is configured: see
 * steering_open(). */
int engine_steer(struct daemon *d, struct doctor *doctor);
/* Loads what chooses workers by their sessions: see spreading_open(). Where it cannot be had the
 * hash does it; who has asked for it is told. Needs privileges. */
void engine_spread(struct daemon *d, unsigned int workers);
/* Tries them, and unloads them if they fail. The same, without privileges. */
int engine_prove(struct daemon *d, struct doctor *doctor);

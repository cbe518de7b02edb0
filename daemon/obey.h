/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the worker process does when its parent says so: it serves, reloads, makes way, ends. */
#pragma once

#include "parent/link.h"
#include "signals.h"

struct run;
struct worker;

/* The parent's messages; their argument is the struct run. */
extern const struct link_events obey_parent;
/* Sent to this process itself, as to all that are called so: the parent has got its own. */
void obey_signal(enum signal_action action, int sig, void *arg);
/* shutdown_grace is over. */
void obey_grace(evutil_socket_t fd, short what, void *run);
/* drain_delay is over. */
void obey_delay(evutil_socket_t fd, short what, void *run);
/* A moment has passed since it was told to make way. */
void obey_handover(evutil_socket_t fd, short what, void *run);
/* Whoever has asked for an upgrade was answered. */
void obey_upgraded(void *run);
/* The parent hears why this process will end: the last error that was logged. */
void obey_tell_failed(struct run *r);
/* For struct worker: its last session has ended. */
void obey_drained(struct worker *w);

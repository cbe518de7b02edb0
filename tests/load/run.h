/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A run: the sessions, who belongs to whom, and what is counted. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "endpoint.h"
#include "options.h"
#include "report.h"

#define CHUNK (256 * 1024) /* the most one read or write moves */

struct run {
	struct options opt;
	int epoll;
	uint64_t random;
	uint64_t started, ended, deadline;
	bool released; /* `go` or `resume` was said */
	bool idle_told;

	struct address targets[MAX_ADDRS]; /* where clients connect: the proxy's listeners */
	unsigned int n_targets;
	bool targets_known;
	int listeners[MAX_ADDRS];
	struct address backends[MAX_ADDRS];

	struct endpoint *clients; /* opt.sessions of them */
	unsigned int n_opened, n_clients_ended;
	struct endpoint **servers; /* in order of accept */
	unsigned int n_servers, servers_size, n_servers_ended;
	struct endpoint_list sleepers;
	struct report report;
	uint8_t *buf; /* CHUNK bytes */
};

/* Until every session ended, or the deadline. */
void run_loop(struct run *run);

/* A yes or no at random, and a number of [min, max]. */
bool run_chance(struct run *run, double probability);
uint64_t run_between(struct run *run, uint64_t min, uint64_t max);

/* Opens the backends' listeners and fills run->backends; exits with a message on failure. */
void sessions_listen(struct run *run);
/* Accepts what waits on a listener. */
void sessions_accept(struct run *run, int listener);
/* Opens client connections up to --concurrency; false if one must be tried again soon. */
bool sessions_open(struct run *run);
/* A server end read its session's number in a head, or a client its server's: joins the two.
 * False, after reporting, if that cannot be. */
bool sessions_join(struct run *run, struct endpoint *ep, enum pattern_dir dir, uint32_t number);
/* True when nothing can happen any more. */
bool sessions_finished(struct run *run);
/* True when every idle session exchanged its few bytes. */
bool sessions_idle(const struct run *run);
/* Ends what is still open (the deadline passed), then judges every session into the report. */
void sessions_judge(struct run *run);

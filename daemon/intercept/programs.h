/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The programs of one [intercept NAME], loaded and attached to its cgroup. They are there as long
 * as this process is, or another that was given their links: no pins. After programs_open() no call
 * here needs a capability.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "../config/destination.h"
#include "intercept-api.h"
#include "origin.h"

struct programs_options {
	const char *cgroup; /* its folder */
	const char
	    *own; /* the daemon's: what it accepts is looked at; NULL: another's programs do */
	const struct destination *outbound, *except;
	uint32_t n_outbound, n_except; /* INTERCEPT_RULES at most, each */
	uint32_t max_flows;            /* connects that are not accepted yet */
	bool trial; /* connects of the socket orders->tried are, and of no other */
};

struct programs {
	struct intercept_bpf *skeleton;
	volatile struct intercept_orders *orders;
	volatile struct intercept_counts *counts;
};

/*
 * Nothing is intercepted until orders->ready. Maps that are not there, or have another layout, are
 * made, and the caller's to close. 0, or a negative errno and a sentence in `why`; programs_close()
 * is right in either case.
 */
int programs_open(struct programs *p, const struct programs_options *o, struct intercept_maps *maps,
		  char why[256]);
void programs_close(struct programs *p);
/*
 * As long as somebody has a program's link, it stays where it is. Calls fn for the descriptor of
 * each by which connects are redirected, and sockets answer as if they were not; the others are by
 * name:
 */
void programs_each_link(const struct programs *p, void (*fn)(void *arg, int fd), void *arg);
/* That of the program which takes back what was kept for a connect. */
int programs_follow_link(const struct programs *p);
/* That of the program in the daemon's own cgroup; -1: there is none. */
int programs_arrivals_link(const struct programs *p);
/* Where connects go from now on: an address of each family, NULL or port 0: those of that family go
 * where they were to go. False: so it was already. */
bool programs_aim(struct programs *p, const struct addr *ipv4, const struct addr *ipv6);

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who of the workers gets a client: what the program and the daemon have in common.
 *
 * The sockets of an address, one a worker, are a group (SO_REUSEPORT). For a SYN the kernel asks
 * the group's program for one of them. It takes that of the worker with the fewest sessions; of
 * several the first from where the hash of the addresses points to. What it does not know, or
 * cannot do, the kernel does by that hash, as without a program.
 */
#ifndef SPREAD_API_H
#define SPREAD_API_H

#include <linux/types.h>

#define SPREAD_WORKERS 256 /* at most; a power of two */

/* In `queues`, of listening sockets. */
struct spread_key {
	__u32 group; /* as `groups` has it, by the cookies of its sockets */
	__u32 worker;
};

/*
 * What is known of a worker. A SYN is chosen for it long before the worker knows of a session, and
 * maybe in vain: what is still on its way is those that were chosen, less those that it has
 * accepted and those that are not waited for any more. `lost` may be negative: what is in a queue
 * before the program is asked arrives all the same.
 */
struct spread_worker {
	/* The daemon's. */
	__u32 sessions; /* its thread writes it */
	__u32 incoming; /* sessions that are on their way from another worker; any thread, atomic */
	__u64 arrived;  /* connections that were accepted at its sockets; its thread */
	__u64 reserved[6];
	/* The program's. */
	__u64 chosen; /* SYNs */
	__s64 lost;
	__u64 chosen_before; /* when the second began */
	__u64 reserved2[5];
};

struct spread_state {
	__u32 on;     /* the daemon's: else it is the kernel's hash */
	__u32 second; /* the program's: which it was when `lost` was looked at */
	__u64 missed; /* choices that the kernel did not take */
};

_Static_assert(sizeof(struct spread_worker) == 128, "a line for each of the two");

#endif

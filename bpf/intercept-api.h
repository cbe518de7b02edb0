/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Outbound interception: what its programs and the daemon have in common.
 *
 * A connect() of an application that the rules want goes to a listener of the daemon instead. Where
 * it was to go is kept twice. With the application's socket, in `origins`, for as long as that
 * lives: getpeername() and SO_ORIGINAL_DST are answered from it. And for the daemon: under the
 * connection's addresses, in `flows`, from before its SYN is sent until the connection is
 * established, or the application's socket is closed; then with the socket that the daemon accepts,
 * in `arrivals`, for as long as that lives. Where that socket is none of the daemon's cgroup, for
 * another process has made the one that listens, it stays in `flows` until the daemon has accepted
 * it. A listening socket of which the daemon looks that up has an empty entry in `arrivals`.
 *
 * The maps are shared by all that intercepts for a daemon, by its worker processes one after the
 * other, too: whoever changes what is in them, or what that means, counts INTERCEPT_LAYOUT up.
 */
#ifndef INTERCEPT_API_H
#define INTERCEPT_API_H

#include <linux/types.h>

/*
 * The SO_PRIORITY of sockets that a daemon of this kind has made: nobody intercepts them. A program
 * sets it, since it takes privileges that the daemon has given up; and nobody else can without such
 * ones. Queueing disciplines look at the lowest four bits, which are those of no priority at all,
 * or take it for a class, whose number (5350:4c00) nobody has.
 */
#define INTERCEPT_MARK 0x53504c00u

#define INTERCEPT_LAYOUT 1

/* Of `outbound` and of `except`, for each. */
#define INTERCEPT_RULES 64

/* An address and port as they are in packets; IPv4 as ::ffff:a.b.c.d. */
struct intercept_place {
	__u32 addr[4];
	__u16 port;
	__u16 reserved;
};

/* Addresses whose bits under the mask are these, and ports, in the host's order, from first to
 * last. */
struct intercept_rule {
	__u32 addr[4], mask[4];
	__u16 first, last;
	__u32 ipv6; /* no address of IPv4 is meant, however short the mask */
};

/* A connection as the application's socket has it; IPv4 as above, ports as in packets. */
struct intercept_key {
	__u32 source[4], target[4];
	__u16 source_port, target_port;
};

struct intercept_flow {
	struct intercept_place original;
	__u32 reserved;
	__u64 cookie; /* of the application's socket */
};

/* What the daemon says, and may change while the programs run. */
struct intercept_orders {
	__u32 ready;    /* somebody accepts */
	__u32 retired;  /* another process of the daemon does, and has programs of its own */
	__u32 required; /* a connect that cannot be redirected is refused */
	__u32 version;  /* of `targets`: those under its lowest bit count */
	__u64 tried;    /* in a trial: the cookie of the socket that it is about */
	struct intercept_place targets[2][2]; /* the listener's address of IPv4 and of IPv6; port 0:
						 it has none */
};

/* What the programs count. */
struct intercept_counts {
	__u64 redirected; /* connects that went to the listener */
	__u64 unready;    /* ... that did not, for nobody accepts, or it has no such address */
	__u64 unkept;     /* ... because there was no memory for where they were to go */
	__u64 unfound;    /* redirected, but the daemon will not find where to: `flows` is full */
};

_Static_assert(sizeof(struct intercept_place) == 20, "no padding: it is a part of keys");
_Static_assert(sizeof(struct intercept_key) == 36, "no padding: it is a key");
_Static_assert(sizeof(struct intercept_rule) == 40, "as the daemon writes it");

#endif

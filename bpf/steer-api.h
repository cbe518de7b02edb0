/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inbound steering: what its programs and the daemon have in common.
 *
 * A SYN that comes to this network namespace, and belongs to no connection, is looked at before
 * anybody who listens is looked for: where the rules want it, it goes to a listening socket of the
 * daemon, which is bound elsewhere. The socket that is accepted has the address that was asked for
 * as its own. Exempt is what the daemon connects itself, which is known by its addresses, in `own`,
 * from before its SYN is sent until the socket is closed: until then, for where the server answers
 * with a SYN cookie it is looked for once more.
 *
 * `own` and `serving` are shared by the worker processes of a daemon, one after the other: whoever
 * changes what is in them, or what that means, counts STEER_LAYOUT up.
 */
#ifndef STEER_API_H
#define STEER_API_H

#include <linux/types.h>

#include "intercept-api.h"

#define STEER_LAYOUT 1

/* Ranges and exceptions of all listeners together. */
#define STEER_RULES 128

/* What belongs together ends with the range; before it are the exceptions from that. */
enum steer_kind { STEER_EXCEPT, STEER_TAKE };

struct steer_rule {
	struct intercept_rule what;
	__u32 kind;     /* enum steer_kind */
	__u32 listener; /* of STEER_TAKE: a number in `listeners` */
};

/* Where the daemon listens itself, under an address that may be all of its family. */
struct steer_place {
	__u32 addr[4]; /* as in struct intercept_place */
	__u16 port;
	__u16 set; /* see struct steer_orders */
};

enum steer_own {
	STEER_OPEN,   /* whoever asks for it reaches it */
	STEER_HIDDEN, /* nobody does: it is for what is steered */
};

/* In `listeners`: those of a set follow each other. */
#define STEER_LISTENER(set, n) ((set)*STEER_RULES + (n))

/* What the daemon says, and may change while the programs run. Rules, places and listeners are
 * there twice: one set is written while the other is in use. */
struct steer_orders {
	__u32 ready; /* somebody accepts, or is about to */
	__u32 set;   /* the one in use: 0 or 1 */
	__u32 n[2];  /* of each set's rules */
	struct steer_rule rules[2][STEER_RULES];
};

/* What the programs count. */
struct steer_counts {
	__u64 steered; /* SYNs, and what follows one that was answered with a cookie */
	__u64 own;     /* ... that were not, for the daemon has sent them */
	__u64 missed;  /* ... for the socket is not there */
	__u64 unkept;  /* connects of the daemon that may come back to it: there was no memory */
};

_Static_assert(sizeof(struct steer_place) == 20, "no padding: it is a key");
_Static_assert(sizeof(struct steer_rule) == 48, "as the daemon writes it");

#endif

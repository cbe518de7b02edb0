/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listening sockets that a worker has given up, and still accepts at: they are hidden
 * (bound_hide()), so nobody new comes, and who is in the middle of his handshake there has a moment
 * for it. Closing one resets him. One that is seen, or is again, another worker process has, to
 * which all is left 10 ms later. The worker's thread has all of this.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "timer.h"

struct listen_socket;
struct loop;

/* In which a client's TCP repeats what was lost once. */
#define LINGERING_NS (2 * NSEC_PER_SEC)

struct lingering {
	LIST_HEAD(, lingering_socket) all;
	struct loop *loop;
	struct timer look;        /* when they are looked at */
	uint64_t wait_ns;         /* between that and the look before */
	const atomic_bool *still; /* new ones are still steered to those that are steered to */
	void (*rest)(struct listen_socket *s); /* has what is in its queue accepted */
	void (*over)(struct lingering *l); /* called once when none is left; NULL: nobody waits */
};

/* `rest` is called for one that is to be closed: nobody has its marks after that. */
void lingering_init(struct lingering *l, struct loop *loop, const atomic_bool *still,
		    void (*rest)(struct listen_socket *s));
/* Closes a listening socket and what it has of the loop: who is in its queue is reset, unless
 * somebody else has it. */
void lingering_shut(struct loop *loop, struct listen_socket *s);
/* Whether it is hidden, and may linger. */
bool lingering_may(const struct listen_socket *s);
/* Takes the descriptor; the socket that it is now is the lingering one, which the caller has accept
 * as before, for 2 s at most. Its binding is gone. NULL: there is no memory, and it is closed. */
struct listen_socket *lingering_add(struct lingering *l, struct listen_socket *s);
static inline bool lingering_any(const struct lingering *l)
{
	return !LIST_EMPTY(&l->all);
}
/* Has over() called when there is none: at once, or in a turn of the loop. One at a time. */
void lingering_when_over(struct lingering *l, void (*over)(struct lingering *l));
/* Another process is to accept: those that are seen are its own now. */
void lingering_leave(struct lingering *l);
/* They are closed now. */
void lingering_end(struct lingering *l);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server connection that is kept between two requests: by the worker for whichever client comes
 * next (idle.h), or by the client that has it for itself (own.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "../conn.h"
#include "../timer.h"
#include "server.h"

/* What is known of such a connection. Made when it is kept for the first time; from then on it goes
 * with the connection, in use or not. */
struct kept {
	struct conn *conn;
	struct idle *idle;       /* of the worker that has it */
	struct own *own;         /* the client that has it for itself; NULL: none */
	struct timer timer;      /* when it has been kept for long enough */
	uint64_t since_ns;       /* it was kept last */
	unsigned int where_seen; /* see server_keeps() */
	bool reused;             /* it has served two requests */
	TAILQ_ENTRY(kept) link;  /* of the server's, or of the client's */
	TAILQ_ENTRY(kept) age_link;
	TAILQ_ENTRY(kept) alike_link;
};

/* Whether it is worth keeping: see server_keeps(). */
static inline bool kept_is_current(struct kept *k)
{
	return server_keeps(k->conn->server, &k->conn->peer, k->conn->identified, &k->where_seen);
}

/* Whether it will do for that server, which sees `from` as its client (NULL: this host); of one
 * that is wherever its client wants to go, for that address. */
static inline bool kept_goes_to(const struct kept *k, const struct server *s,
				const struct addr *where, const struct sender *from)
{
	static const struct sender own;

	return k->conn->server == s && sender_equal(&k->conn->from, from ? from : &own) &&
	       (!server_is_original(s) || addr_equal(&k->conn->peer, where));
}

/*
 * Takes note that the connection, whose last response is complete, is kept from now on. NULL: it
 * cannot be, for want of memory or because it is useless; it is closed then.
 */
struct kept *kept_begin(struct idle *i, struct conn *c);
/* Whether these events of epoll's mean that it can serve no further request: its end, or bytes that
 * nobody has asked for. Takes note of that; it is the caller's to close. */
bool kept_is_over(const struct kept *k, uint32_t events);
/* Closes one that is on no list any more. */
void kept_close(struct kept *k);
/* Whether a request that cannot be repeated should not go on it: its server is fickle, and it has
 * neither served two nor been kept for so long that the server would have ended it. */
bool kept_is_doubtful(const struct kept *k);
/*
 * Where there is no room for both: whether it is the new one that is closed. The old one will be
 * the first to show that a fickle server keeps it; if each made way for the next, none ever would.
 */
bool kept_makes_way(const struct kept *k, const struct kept *old);

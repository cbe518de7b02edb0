/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose fault it is that a try of a dial has failed: the errno decides, and whose address it was
 * made from. */
#pragma once

#include <errno.h>
#include <stdbool.h>

#include "../sender.h"
#include "server.h"

/* Ours, whomever we call. */
static inline bool fault_is_shortage(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS;
}

/* Ours as well, but only for this address: all ports to it are in use. */
static inline bool fault_is_portless(int err)
{
	return err == EADDRNOTAVAIL;
}

/* The client's: no connection to this address can be made from its own. */
static inline bool fault_is_foreign(int err)
{
	return err == EPFNOSUPPORT;
}

/* It may go away by itself. EAGAIN is a unix server's: its backlog is full. */
static inline bool fault_is_passing(int err)
{
	return fault_is_shortage(err) || fault_is_portless(err) || err == EAGAIN;
}

/*
 * Whether it may be the client's address that the try failed for, and not the server: one that the
 * server's lists or routes do not want would have the server passed over for everybody else. Checks
 * are made from this host's own.
 */
static inline bool fault_may_be_clients(const struct sender *from, int err)
{
	return fault_is_foreign(err) || sender_is_client(from);
}

/*
 * A line in the log, if the last one of the server (of the destination, where that is `original:`)
 * is a second ago: one that is down fails many dials, and one line says so as well. `client`: from
 * whose address it was made; NULL: this host's own. `now`: ns of the loop.
 */
void fault_report(const char *pool, struct server *s, const struct addr *where,
		  const struct addr *client, int err, uint64_t now);
/*
 * The same of a client that has named no other place: it has connected to the listener itself. So
 * has this host, when a client's connect led to that listener after all: what else would be a loop
 * ends there.
 */
void fault_report_unknown(const char *pool, uint64_t now);

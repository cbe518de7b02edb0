/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From whose address a connection to a server is made: this host's own, or with `source = client`
 * the client's, so that the server sees that one.
 */
#pragma once

#include "addr.h"

/* An address without a port; IPv4 as ::ffff:a.b.c.d. All zero: this host's own, whichever. */
struct sender {
	struct in6_addr addr;
	uint32_t scope; /* of an address that is good for one link */
};

/*
 * For a connection to `where` on behalf of that client. It is this host's own where no address of
 * the client means anything there: a unix socket's client has none, and a loopback address is this
 * host's. 0; -EPFNOSUPPORT: the client is of the other family of addresses.
 */
int sender_choose(const struct addr *client, const struct addr *where, struct sender *ret);
bool sender_is_client(const struct sender *s);
bool sender_equal(const struct sender *a, const struct sender *b);
/*
 * Binds a TCP socket that is to connect to `where`, without a port: connect() finds one that is not
 * taken for these two addresses. 0 or a negative errno; -EPFNOSUPPORT: this host cannot have it.
 */
int sender_bind(const struct sender *s, int fd, const struct addr *where);
/* Whether this process may send from addresses that are not this host's: CAP_NET_RAW or
 * CAP_NET_ADMIN, over the network namespace. 0 or a negative errno. */
int sender_may_be_client(void);

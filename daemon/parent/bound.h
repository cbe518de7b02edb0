/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A socket that is bound to an address, for whoever will listen on it. The parent binds the
 * worker's sockets, for it keeps the privilege; a daemon that has no parent (the canary's) binds
 * its own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "../addr.h"
#include "../unixfile.h"

#define BIND_NAME_MAX 256

/* Plain data: it goes from process to process as it is. */
struct bind_request {
	char name[BIND_NAME_MAX]; /* what a later worker asks for to get the same sockets */
	struct addr addr;
	struct unix_access access; /* of a unix socket's file */
	uint32_t index;            /* among the sockets of this name */
	bool shared;               /* one of several of this address: SO_REUSEPORT */
	bool ipv6_only;
	bool stays;  /* while the daemon drains: it is not for clients */
	bool hidden; /* clients are steered there, and do not come without: it is in no store */
};

struct bound {
	int fd;
	struct addr addr;      /* with the port that the kernel chose */
	struct unix_file file; /* of a unix socket */
};

/*
 * Makes the socket (non-blocking, close-on-exec) and binds it. `unused`: fails with -EADDRINUSE
 * where somebody listens there already; with SO_REUSEPORT alone a second daemon would share the
 * port with the first without a word, each getting a part of the clients. 0, or a negative errno
 * and *call is the call that failed.
 */
int bound_open(const struct bind_request *r, bool unused, struct bound *ret, const char **call);
/* For who intercepts connects: see the header with INTERCEPT_MARK. It takes a privilege, and
 * without any nothing is intercepted. */
void bound_mark(int fd);
/*
 * Nobody reaches a listening TCP socket any more: it is bound to a device that there is not. Who
 * has sent his SYN is not affected, and who sends one now reaches whoever listens there otherwise,
 * or nobody (inet_lookup_listener() and inet_csk_clone_lock() of the kernel). Where several listen
 * at an address (SO_REUSEPORT) and one is not hidden yet, the kernel may still choose one that is:
 * it drops that SYN, having no route, and the client's next one, a second later, is as above.
 * Takes no privilege. It is so for all who have the socket. 0 or a negative errno.
 */
int bound_hide(int fd);
bool bound_is_hidden(int fd);
/* The reverse, for which the kernel wants CAP_NET_RAW. 0 or a negative errno. */
int bound_show(int fd);
/* Closes it, and removes the file. One with fd -1 is fine. */
void bound_close(struct bound *b);

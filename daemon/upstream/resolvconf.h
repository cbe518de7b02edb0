/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /etc/resolv.conf: what c-ares does not read of it, and whether it has changed. */
#pragma once

#include <sys/stat.h>

#include "../addr.h"

#define RESOLVCONF_PATH    "/etc/resolv.conf"
#define RESOLVCONF_SERVERS 8 /* the most that are used */

struct resolvconf {
	struct stat st; /* of the file that was read; zeros: there was none */
	struct addr servers[RESOLVCONF_SERVERS];
	size_t n_servers;
	int timeout, attempts; /* seconds, and tries; 0: not given */
};

/* Reads it. 0, or a negative errno and *ret says nothing but that. */
int resolvconf_read(struct resolvconf *ret);
/* Whether it is another file, or was written to, since it was read; or came into being, or went. */
bool resolvconf_changed(const struct resolvconf *r);

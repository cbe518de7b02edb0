// SPDX-License-Identifier: GPL-2.0-or-later
#include "held.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "../log.h"

static int option_of(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) < 0 ? -1 : value;
}

void held_look(struct held *item)
{
	struct addr *a = &item->bound.addr;
	int fd = item->bound.fd, flags = fcntl(fd, F_GETFL);

	*a = (struct addr){.len = sizeof(a->un)};
	if (getsockname(fd, &a->sa, &a->len) < 0) {
		*a = (struct addr){0};
		return;
	}
	item->tcp = addr_has_port(a);
	if (item->tcp)
		bound_mark(fd);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		log_warn("%s: O_NONBLOCK: %s", item->name, strerror(errno));
}

bool held_is_sound(const struct held *item, char why[MESSAGE_CALL_MAX])
{
	int fd = item->bound.fd, family = item->bound.addr.sa.sa_family;
	const char *problem = NULL;

	if (!item->bound.addr.len)
		problem = "not a socket";
	else if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		problem = "a socket of another family than IPv4, IPv6 and unix";
	else if (option_of(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM)
		problem = "not a stream socket (ListenStream=)";
	else if (family != AF_UNIX && option_of(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP)
		problem = "not a TCP socket";
	else if (option_of(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1)
		problem = "not a listening socket (Accept=no)";
	if (problem)
		(void)snprintf(why, MESSAGE_CALL_MAX, "what was passed is %s", problem);
	return !problem;
}

bool held_fits(const struct held *item, const struct bind_request *r)
{
	const struct addr *is = &item->bound.addr;
	struct addr wanted = r->addr;
	int fd = item->bound.fd;

	if (!is->len || option_of(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM)
		return false;
	/* The port that the kernel chose the first time. */
	if (r->addr.sa.sa_family != AF_UNIX && !addr_port(&wanted))
		addr_set_port(&wanted, addr_port(is));
	if (!addr_equal(is, &wanted))
		return false;
	if (is->sa.sa_family == AF_UNIX)
		return true;
	if (option_of(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP ||
	    option_of(fd, SOL_SOCKET, SO_REUSEPORT) != r->shared)
		return false;
	return is->sa.sa_family != AF_INET6 ||
	       option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY) == r->ipv6_only;
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "bound.h"

#include <errno.h>
#include <limits.h>

#include "intercept-api.h"

static int set_ipv6_only(int fd, const struct bind_request *r)
{
	int value = r->ipv6_only;

	if (r->addr.sa.sa_family != AF_INET6)
		return 0;
	return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, sizeof(value));
}

/* ---- hidden ones ------------------------------------------------------------------------ */

/* Devices are counted from 1 in each namespace. */
#define NO_DEVICE    INT_MAX
#define OTHER_DEVICE (INT_MAX - 1)

static int bind_to(int fd, int device)
{
	return setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &device, sizeof(device)) < 0 ? -errno
											 : 0;
}

static int device_of(int fd)
{
	socklen_t len = sizeof(int);
	int device = 0;

	return getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &device, &len) < 0 ? 0 : device;
}

int bound_hide(int fd)
{
	/* From one device to another takes CAP_NET_RAW. */
	return device_of(fd) ? 0 : bind_to(fd, NO_DEVICE);
}

bool bound_is_hidden(int fd)
{
	return device_of(fd) == NO_DEVICE;
}

int bound_show(int fd)
{
	return bind_to(fd, 0);
}

/* ---- binding ---------------------------------------------------------------------------- */

/* A socket without SO_REUSEPORT says whether somebody listens there. Bound to a device it is in the
 * way of everything but what is bound to another one, as are hidden sockets: they are nobody's. To
 * a single address of IPv6 it cannot be bound then (__inet6_bind()): hidden ones are in the way. */
static int check_unused(const struct bind_request *r, const char **call)
{
	_cleanup_close_ int fd = -1;
	int one = 1;

	*call = "socket";
	fd = socket(r->addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	*call = "SO_REUSEADDR, IPV6_V6ONLY";
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    set_ipv6_only(fd, r) < 0)
		return -errno;
	*call = "bind";
	if (bind(fd, &r->addr.sa, r->addr.len) == 0)
		return 0;
	if (errno != EADDRINUSE || bind_to(fd, OTHER_DEVICE) < 0)
		return -errno;
	if (bind(fd, &r->addr.sa, r->addr.len) == 0)
		return 0;
	return errno == ENODEV ? -EADDRINUSE : -errno;
}

void bound_mark(int fd)
{
	int priority = (int)INTERCEPT_MARK;

	(void)setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority));
}

static int bind_tcp(int fd, const struct bind_request *r, struct bound *b, const char **call)
{
	int one = 1;

	*call = r->shared ? "SO_REUSEPORT" : "SO_REUSEADDR";
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    (r->shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0))
		return -errno;
	*call = "IPV6_V6ONLY";
	if (set_ipv6_only(fd, r) < 0)
		return -errno;
	*call = "bind";
	if (bind(fd, &r->addr.sa, r->addr.len) < 0)
		return -errno;
	*call = "getsockname";
	return getsockname(fd, &b->addr.sa, &b->addr.len) < 0 ? -errno : 0;
}

/* A socket that is not for clients serves root all the same where it cannot be given away: who
 * asked for it finds out whose it is. */
static int bind_unix(int fd, const struct bind_request *r, struct bound *b)
{
	const struct unix_access own = {.mode = r->access.mode, .uid = (uid_t)-1, .gid = (gid_t)-1};
	int err = unix_file_bind(fd, &b->addr, r->stays ? &own : &r->access, &b->file);

	if (!err && r->stays)
		(void)unix_file_chown(&b->file, r->access.uid, r->access.gid);
	return err;
}

int bound_open(const struct bind_request *r, bool unused, struct bound *ret, const char **call)
{
	bool tcp = r->addr.sa.sa_family != AF_UNIX;
	struct bound b = {.fd = -1, .addr = r->addr};
	_cleanup_close_ int fd = -1;
	int err = tcp && unused ? check_unused(r, call) : 0;

	if (err)
		return err;
	*call = "socket";
	fd = socket(r->addr.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (tcp) {
		bound_mark(fd);
		err = bind_tcp(fd, r, &b, call);
	} else {
		*call = "bind";
		err = bind_unix(fd, r, &b);
	}
	if (err)
		return err;
	b.fd = TAKE_FD(fd);
	*ret = b;
	return 0;
}

void bound_close(struct bound *b)
{
	closep_(&b->fd);
	b->fd = -1;
	unix_file_remove(&b->addr, &b->file);
}

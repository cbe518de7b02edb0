// SPDX-License-Identifier: GPL-2.0-or-later
#include "conn.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/*
 * SO_OOBINLINE: the kernel's own path moves an urgent byte as part of the stream, so the copy
 * engine must not leave it out either.
 */
int conn_listen_options(int fd)
{
	int one = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)) < 0)
		return -errno;
	return 0;
}

void conn_local_options(int fd)
{
	static const char reno[] = "reno"; /* always there, and allowed to everybody */

	(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, reno, sizeof(reno) - 1);
}

int conn_dial(const struct addr *where, int (*own)(void *arg, int fd), void *arg)
{
	_cleanup_close_ int fd = -1;
	int err = 0;

	fd = socket(where->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (where->sa.sa_family != AF_UNIX)
		err = conn_listen_options(fd);
	if (!err && own)
		err = own(arg, fd);
	if (err)
		return err;
	/* A unix socket whose backlog is full says EAGAIN and cannot be waited for. */
	if (connect(fd, &where->sa, where->len) < 0 && errno != EINPROGRESS)
		return -errno;
	return TAKE_FD(fd);
}

int conn_error(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return errno;
	return err;
}

void conn_close(struct conn *c, bool reset)
{
	const struct linger hard = {.l_onoff = 1, .l_linger = 0};

	if (c->fd < 0)
		return;
	if (reset)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	(void)close(c->fd);
	c->fd = -1;
}

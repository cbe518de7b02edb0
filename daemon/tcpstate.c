// SPDX-License-Identifier: GPL-2.0-or-later
#include "tcpstate.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* TCP_ESTABLISHED, TCP_CLOSE and TCP_CLOSE_WAIT, which only <netinet/tcp.h> names, and it excludes
 * <linux/tcp.h>. */
#define STATE_ESTABLISHED 1
#define STATE_CLOSE       7
#define STATE_CLOSE_WAIT  8

/* Tries at two reads with nothing in between that changes what they say. */
#define EXACT_TRIES 64

/* More than a receive queue ever has. */
#define UNREAD_MOST (1 << 30)

static int read_info(int fd, struct tcp_info *info)
{
	socklen_t len = sizeof(*info);

	*info = (struct tcp_info){0};
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) < 0)
		return -errno;
	if (len <
	    offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(info->tcpi_bytes_received))
		return -EOPNOTSUPP;
	return 0;
}

int tcp_state_read(int fd, struct tcp_state *ret)
{
	struct tcp_info info;
	int queued = 0, err = read_info(fd, &info);

	if (err)
		return err;
	if (ioctl(fd, SIOCOUTQ, &queued) < 0)
		return -errno;
	*ret = (struct tcp_state){
	    .open = info.tcpi_state == STATE_ESTABLISHED,
	    .closed = info.tcpi_state == STATE_CLOSE,
	    .acked = info.tcpi_bytes_acked,
	    .received = info.tcpi_bytes_received,
	    .unsent = info.tcpi_notsent_bytes,
	    .ack_age = info.tcpi_last_ack_recv,
	    .queued = (uint32_t)queued,
	};
	return 0;
}

/* SIOCINQ says something else of a socket in a map. Nothing is copied. A negative errno. */
static ssize_t unread_of(int fd)
{
	ssize_t n = recv(fd, NULL, UNREAD_MOST, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	return n;
}

int tcp_consumed(int fd, uint64_t *ret)
{
	struct tcp_info before = {0}, after = {0};
	int err = read_info(fd, &before);

	for (int i = 0; !err && i < EXACT_TRIES; i++) {
		ssize_t unread = unread_of(fd);

		if (unread < 0)
			return (int)unread;
		err = read_info(fd, &after);
		if (!err && after.tcpi_state == before.tcpi_state &&
		    after.tcpi_bytes_received == before.tcpi_bytes_received) {
			*ret = after.tcpi_bytes_received - (uint64_t)unread;
			/* The FIN is among the received, and not among the unread. */
			if (after.tcpi_state == STATE_CLOSE_WAIT)
				--*ret;
			return after.tcpi_state == STATE_ESTABLISHED ||
				       after.tcpi_state == STATE_CLOSE_WAIT
				   ? 0
				   : -ENOTCONN;
		}
		before = after;
	}
	return err ? err : -EAGAIN;
}

bool tcp_queue_is_empty(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	/* tcp_get_info() has the queue there. */
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || !info.tcpi_unacked;
}

uint32_t tcp_segments(int fd)
{
	struct tcp_info info;

	return read_info(fd, &info) < 0 ? 0 : info.tcpi_data_segs_in;
}

bool tcp_all_is_acked(int fd)
{
	int queued = 0;

	return ioctl(fd, SIOCOUTQ, &queued) < 0 || !queued;
}

int tcp_written(int fd, uint64_t *ret)
{
	struct tcp_state before = {0}, after = {0};
	int err = tcp_state_read(fd, &before);

	for (int i = 0; !err && i < EXACT_TRIES; i++) {
		err = tcp_state_read(fd, &after);
		if (!err && after.acked == before.acked) {
			*ret = before.acked + before.queued;
			return 0;
		}
		before = after;
	}
	return err ? err : -EAGAIN;
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "tcpstate.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* TCP_ESTABLISHED and TCP_CLOSE, which only <netinet/tcp.h> names, and it excludes <linux/tcp.h>.
 */
#define STATE_ESTABLISHED 1
#define STATE_CLOSE       7

/* Tries at two reads with no acknowledgement in between. */
#define EXACT_TRIES 64

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

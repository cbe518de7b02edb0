/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a TCP socket has taken, sent and received: the facts the lane protocol is proved with. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct tcp_state {
	bool open;         /* ESTABLISHED: neither side has ended */
	bool closed;       /* CLOSE: reset, or long ended */
	uint64_t acked;    /* bytes the peer acknowledged; counts the SYN of an active open */
	uint64_t received; /* bytes received in order; the FIN counts one more */
	uint32_t unsent;   /* bytes in the write queue that were never sent */
	uint32_t ack_age;  /* ms since the last acknowledgement, of a probe maybe */
	uint32_t queued;   /* bytes in the write queue, unsent or unacknowledged (SIOCOUTQ) */
};

/*
 * Reads one socket's state; `acked` before `queued`, so that acked + queued never overstates what
 * the write queue has taken (an acknowledgement in between only lowers it).
 *
 * tcpi_bytes_sent - tcpi_bytes_retrans + tcpi_notsent_bytes would be one call, but it drifts: a
 * first transmission that the local host drops (a full qdisc, say) is counted again when repeated
 * and not as a retransmission. 0 or a negative errno.
 */
int tcp_state_read(int fd, struct tcp_state *ret);

/* Segments with data that have come (mod 2^32); 0 where the kernel does not say. */
uint32_t tcp_segments(int fd);

/* Whether the peer's TCP has all that was written; also where the kernel does not say. */
bool tcp_all_is_acked(int fd);

/* Of a listening socket: nobody waits there to be accepted. */
bool tcp_queue_is_empty(int fd);

/* acked + queued, exact: read until no acknowledgement came in between. */
int tcp_written(int fd, uint64_t *ret);

/*
 * Bytes that have left the receive queue, whoever took them, exact: read until none came in
 * between. Of a socket in a map nothing may be handed up. 0; -ENOTCONN where the connection is
 * neither open nor ended by its peer; or a negative errno.
 */
int tcp_consumed(int fd, uint64_t *ret);

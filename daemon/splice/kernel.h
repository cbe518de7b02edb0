/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel engine: the daemon's half of the lane protocol. */
#pragma once

#include "stream.h"

struct maps;
struct session;

/* Pure arithmetic of the protocol, apart from any socket. */

/* Bytes given to a target and not yet taken by its TCP. `own` + `redirected` were given,
 * `written` - `base` taken; never negative: a stale `redirected` reads as an empty backlog. */
static inline uint64_t backlog_of(uint64_t own, uint64_t redirected, uint64_t written,
				  uint64_t base)
{
	uint64_t given = own + redirected, taken = written - base;

	return given > taken ? given - taken : 0;
}

/* Whether `received` (tcpi_bytes_received after a FIN) is what was read and redirected, plus the
 * FIN's own sequence number. */
static inline bool stream_complete(uint64_t received, uint64_t read, uint64_t redirected)
{
	return received == read + redirected + 1;
}

/*
 * Whether an event that came by `worker`'s ring is about the lane's present user. Only then may the
 * session that has the slot be looked at: it is this worker's. Generation 0 is a lane that nobody
 * has: an event of it is about a budget that is closed.
 */
static inline bool lane_event_is_due(const struct lane *lane, const struct lane_event *e,
				     unsigned int worker)
{
	return e->generation && e->generation == lane->generation && worker == lane->worker;
}

/* Bytes that wait in the target's kernel queue, and with *unsent those that its TCP has not sent
 * yet; 0 or a negative errno of the target. */
int kernel_backlog(const struct stream *s, uint64_t *backlog, uint64_t *unsent);
/* Whether everything the source sent before its FIN is accounted for. 0 or a negative errno. */
int kernel_accounted(const struct stream *s, bool *ret);

/*
 * Gives both streams of an open session to the kernel, each if it can be. A stream that cannot be
 * engaged stays with the copy engine and its why_copy says the reason.
 */
void kernel_adopt(struct session *session);
/*
 * Gives the stream a lane of its own with this limit, for a budget; and takes it away again, when
 * the source is out of the verdict map or has ended. 0, or a negative errno after recording
 * why_copy.
 */
int kernel_share(struct stream *s, uint64_t limit);
void kernel_unshare(struct stream *s);
/*
 * Engages one stream of an adopted session: every byte read must have been written. 0, or a
 * negative errno after recording why_copy.
 */
int kernel_engage(struct stream *s);
/*
 * Takes the stream back for good, before its source is shut down for writing: from then on the
 * kernel would discard handed-up bytes at TIME_WAIT. Returns 0 when it is copied now, -EAGAIN when
 * handed-up bytes must be served first, another negative errno when the session has ended over it.
 */
int kernel_release(struct stream *s);
/* Bytes that TCP received are neither read nor redirected yet. Waits for them, but not for ever:
 * then the session is aborted. */
void kernel_await_proof(struct stream *s);
/* The source is dead, and the kernel has taken it out of the maps: what it left is copied. */
void kernel_abandon(struct stream *s);
/* An event of the lane, from the ring buffer. */
void kernel_event(struct stream *s, const struct lane_event *event);
/*
 * Removes what a connection, or the session with both of its own, left in the maps. The sockets are
 * closed, or out of the verdict map. 0, or a negative errno: something is still there, and the
 * connection must be kept until another try has removed it, for the entry would stay for ever.
 */
int kernel_forget_conn(const struct maps *m, struct conn *c);
int kernel_forget(struct session *session);

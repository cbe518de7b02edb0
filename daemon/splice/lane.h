/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lanes: what the kernel has done with a stream, and the proof that nothing is missing. The
 * daemon's half of the protocol in splice-api.h is in the files that include this.
 */
#pragma once

#include "stream.h"

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

/* Of what had been redirected before, stream_redirected(): bytes that wait in the target's kernel
 * queue, and with *unsent those that its TCP has not sent yet; 0 or a negative errno of the target.
 */
int kernel_backlog(const struct stream *s, uint64_t redirected, uint64_t *backlog,
		   uint64_t *unsent);
/* Whether everything the source sent before its FIN is accounted for. 0 or a negative errno. */
int kernel_accounted(const struct stream *s, bool *ret);

/* The usual receive window of its source: splice_window, where that is not too small. */
uint64_t kernel_window(const struct stream *s);
/* Whether its source has left `engaged` on its own: see leave.h. Until it is engaged again. */
bool kernel_stopped(const struct stream *s);
/* Bytes handed up so far. */
uint64_t kernel_passed(const struct stream *s);
/* Bytes that TCP received are neither read nor redirected yet. Waits for them, but not for ever:
 * then the splice is aborted. */
void kernel_await_proof(struct stream *s);
/* Whether every byte of the ended source is accounted for; if not yet, it is waited for. */
bool kernel_proved(struct stream *s);

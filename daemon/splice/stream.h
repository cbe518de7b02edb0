/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream: one direction of a session, as the daemon keeps it. `struct lane` (splice-api.h) is
 * the part of it that is shared with the kernel.
 *
 *   COPY      the daemon reads the source and writes the target
 *   ENGAGED   the verdict program moves the bytes; the daemon sleeps
 *   SERVING   still in `engaged`, but the kernel handed bytes up: the daemon reads them, takes the
 *             stream back, writes them and engages it again
 *   PAUSED    taken back: bytes wait in the source's receive queue until the target has drained
 *   ENDING    the source has ended and every byte of it is accounted for; the last of them are on
 *             their way into the target's TCP
 *   DONE      the end was passed on: shutdown(target, SHUT_WR)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "splice-api.h"

#include "../conn.h"
#include "../loop.h"
#include "../timer.h"

enum stream_state {
	STREAM_NEW, /* the backend is not connected yet */
	STREAM_COPY,
	STREAM_ENGAGED,
	STREAM_SERVING,
	STREAM_PAUSED,
	STREAM_ENDING,
	STREAM_DONE,
	_STREAM_STATE_MAX,
};
extern const char *const stream_state_str[_STREAM_STATE_MAX];

/* Why a stream is copied and not moved by the kernel. */
enum copy_reason {
	COPY_NONE,        /* it is (or was) moved by the kernel */
	COPY_YOUNG,       /* the session ended before it was old enough to be worth it */
	COPY_CONFIG,      /* engine = copy */
	COPY_UNAVAILABLE, /* the kernel engine is off: see `doctor` */
	COPY_UNIX,        /* one side is a unix socket */
	COPY_HALF_CLOSED, /* one side has ended: the kernel would discard what it hands up */
	COPY_MAP_FULL,    /* no room in a map */
	COPY_REFUSED,     /* the kernel refused the socket for another reason */
	_COPY_REASON_MAX,
};
extern const char *const copy_reason_str[_COPY_REASON_MAX];

struct engine;

/* Room that must be in front of bytes that pass a filter: it may put some there. */
#define STREAM_FILTER_ROOM 16

/*
 * Takes bytes out of what is copied. A stream that has one is not given to the kernel, and it is
 * done with at some point: then the stream frees it.
 */
struct stream_filter {
	/*
	 * The *len bytes at *data have come; changes them and both in place. What it keeps to
	 * itself it gives back in front of later ones, at the latest with `ended`: nothing more
	 * comes. False: it is done, and has nothing left.
	 */
	bool (*pass)(struct stream_filter *f, char **data, size_t *len, bool ended);
};

struct stream {
	const struct engine *engine; /* who moves the bytes: engine_kernel, or `hand` */
	const struct engine *hand;   /* who does when the kernel does not: engine_copy, or HTTP */
	struct conn *source, *target;
	struct session *session;
	struct stream_filter *filter; /* malloc'ed; NULL: nothing is taken out */
	struct lane *lane;            /* NULL until the session was given to the kernel */
	char *pending; /* read, but not yet written: pending_len bytes from pending_at on */
	uint32_t pending_at, pending_len;
	uint32_t lane_index;
	uint64_t copied; /* bytes the daemon wrote to the target */
	uint64_t taken;  /* of what the kernel handed up (lane->passed): bytes read */
	uint64_t low;    /* PAUSED: resume at this backlog */
	uint64_t redirected_before, trimmed_before; /* of budgets that are closed */
	uint64_t lost; /* redirected, but gone with a target that was closed before it took them */
	uint64_t redirected_end; /* what the kernel had moved when the sockets were closed */
	uint64_t released_at;    /* `copied` when the kernel had to give it up */
	uint64_t by_hand;        /* COPY: since when, though the kernel could have it; 0: not so */
	uint64_t hand_from;      /* `copied` at that time */
	uint64_t paused_at;      /* PAUSED: since when */
	uint64_t paused_left;    /* PAUSED: unsent bytes at that time */
	uint64_t settling;       /* SERVING: lane->passed when last looked at */
	struct timer wait;       /* waiting: when to look again */
	uint64_t wait_since;     /* waiting for a proof that does not come: since when; 0: not */
	uint64_t left;           /* bytes waited for at the last look; 0: not waiting for bytes */
	uint64_t backoff;        /* ns */
	uint32_t pauses;
	uint8_t state; /* enum stream_state */
	uint8_t why_copy;
	bool eof;          /* the source's end was read or proved */
	bool drained;      /* the kernel holds nothing for the target that it has not written */
	bool waiting;      /* for something that is looked for when `wait` fires */
	bool signal;       /* waiting for long: the target says when it has room */
	bool lowat;        /* the target's TCP_NOTSENT_LOWAT is set for that */
	bool plenty;       /* the last read by hand gave as much as one usually takes */
	bool closed;       /* its sockets are: `redirected_end` is the kernel's share */
	struct task again; /* more to do at once */
};

/*
 * An engine moves the bytes of a stream. A stream has one engine at a time. It goes to the kernel
 * only when the bytes read are all written; it comes back with what the kernel handed up pending.
 */
struct engine {
	const char *name;
	/*
	 * Moves what can be moved now, or looks whether what is waited for has come. Called
	 * whenever that may be: readiness of either socket, an event of the lane, the timer of the
	 * wait list.
	 */
	void (*pump)(struct stream *s);
};
extern const struct engine engine_copy;
extern const struct engine engine_kernel;

/*
 * Bytes moved so far, by whoever; by the kernel; cut off by it. As long as the stream runs, the
 * kernel's share counts what waits in the target's queue; in the end only what its TCP has taken.
 */
uint64_t stream_moved(const struct stream *s);
uint64_t stream_moved_by_kernel(const struct stream *s);
uint64_t stream_trimmed(const struct stream *s);
/* The same of the present lane alone. */
uint64_t stream_redirected(const struct stream *s);

/* How much the next read by hand takes, at most LOOP_BUFFER bytes. */
size_t stream_read_size(const struct stream *s);
/* Makes room for `want` more bytes behind what is pending. 0 or -ENOMEM. */
int stream_room(struct stream *s, size_t want);
/* Appends to the pending bytes. 0 or -ENOMEM. */
int stream_keep(struct stream *s, const char *data, size_t len);
/* Puts bytes in front of those that are pending. 0 or -ENOMEM. */
int stream_put_first(struct stream *s, const void *data, size_t len);
/* What has come passes the filter, if there is one; the rest of it is `*len` bytes at *data. */
void stream_pass(struct stream *s, char **data, size_t *len, bool ended);
/* Whether a stream that is copied though the kernel could have it (`by_hand`) goes on being copied.
 */
bool stream_stays_by_hand(const struct stream *s);
/* Whether the kernel gets it in budgets, and what is between them is not for engine_copy to read.
 */
bool stream_is_budgeted(const struct stream *s);

/* The only place a stream changes state. */
void stream_enter(struct stream *s, enum stream_state next);
/* Whether `next` may follow `from`: the table, for tests. */
bool stream_may_enter(enum stream_state from, enum stream_state next);

/* Calls the engine; ends the session when both of its streams have ended. */
void stream_pump(struct stream *s);

/* Has the stream wait: it is pumped again soon, then ever more rarely, and at once when the target
 * gets room. `restart` begins again with short waits. */
void stream_wait(struct stream *s, bool restart);
/*
 * The same for a backlog of which `left` bytes must go: looks again when they should have gone. Of
 * a target that takes nothing it is its own word that ends the wait, and a timer after some seconds
 * only; it counts as having room when no more than `low` bytes are unsent (0: the system's
 * measure).
 */
void stream_wait_drain(struct stream *s, uint64_t left, uint64_t low);
void stream_unwait(struct stream *s);
/* The target says that it has room: a long wait begins again with short ones. */
void stream_roused(struct stream *s);
/* Pumps it again after the other sessions have had their turn. */
void stream_again(struct stream *s);
void stream_not_again(struct stream *s);

/*
 * Whether the target's TCP has taken every byte the kernel was given for it, so that the daemon may
 * write or shut it down. If not, the stream waits for that now (or its session has failed).
 */
bool stream_target_drained(struct stream *s);

/*
 * End of stream, with proof: pumped in STREAM_ENDING. Waits until the target's TCP has taken every
 * byte, then passes the end on.
 */
void stream_finish(struct stream *s);
/* The source is dead and everything it left is written: ends the session once the target's peer has
 * all of it. */
void stream_farewell(struct stream *s);
/* Tells epoll what the stream's two sockets are to be watched for in its present state. Where it
 * refuses, it is asked again later: the session has not ended when this returns. */
void stream_watch(struct stream *s);
/*
 * Bytes the kernel was given for the target that its TCP has not taken: a close of the target
 * throws them away.
 */
uint64_t stream_undelivered(const struct stream *s);
/* The target is about to be closed: what it has not taken was not moved. The stream may get another
 * target. */
void stream_forsake(struct stream *s);
/* Both sockets are about to be closed, and nothing is counted any more. */
void stream_close(struct stream *s);
/* Frees what the stream holds; it must be off every list. */
void stream_fini(struct stream *s);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream: one direction of a splice, as the daemon keeps it. `struct lane` (splice-api.h) is
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

#include "bypass-api.h"
#include "splice-api.h"

#include "../conn.h"
#include "../loop.h"
#include "../timer.h"
#include "settings.h"

struct bypass;
struct bypass_maps;
struct bypass_stream;
struct maps;
struct ring_buffer;
struct stats;

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
	COPY_FOREIGN,     /* accepted at a socket of another cgroup: see struct conn */
	COPY_HALF_CLOSED, /* one side has ended: the kernel would discard what it hands up */
	COPY_MAP_FULL,    /* no room in a map */
	COPY_MEMORY,      /* memory_max is near */
	COPY_UNLOCKED,    /* it could not leave the kernel under its lock: see splicer_refuses() */
	COPY_REFUSED,     /* the kernel refused the socket for another reason */
	_COPY_REASON_MAX,
};
extern const char *const copy_reason_str[_COPY_REASON_MAX];

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

struct splice;
struct stream;

/*
 * Who reads a stream whose bytes the kernel does not move now, and writes them: the copy engine, or
 * a protocol that looks at them (then the kernel is given the rest in budgets: see budget.h). It
 * goes to the kernel only when the bytes read are all written; it comes back with what the kernel
 * handed up pending.
 */
struct engine {
	/* Moves what can be moved now, or looks whether what is waited for has come: called in
	 * STREAM_COPY whenever that may be. */
	void (*pump)(struct stream *s);
	bool budgets; /* it gives the kernel budgets, and says itself what an end means */
};

enum direction { UP, DOWN }; /* client to backend, backend to client */

/* What was seen at the last look whether it is bulk in small segments: see bulk.h. */
struct stream_bulk {
	uint64_t ns;    /* when; 0: it was copied since */
	uint64_t bytes; /* moved by the kernel, and segments of these */
	uint32_t segments;
	uint32_t back_segments; /* the same of the other stream, by whoever */
	uint64_t back_bytes;
	uint64_t since;     /* it is copied for that, if this is `by_hand` */
	uint64_t moved_ns;  /* ... and when it last had something, or was found to have nothing */
	unsigned int looks; /* in a row that have found that it is */
};

struct stream {
	struct splice *splice;
	const struct engine *hand; /* moves the bytes in STREAM_COPY */
	struct conn *source, *target;
	struct stream_filter *filter; /* malloc'ed; NULL: nothing is taken out */
	struct lane *lane; /* NULL: it was not given to the kernel since its last budget */
	struct way *way;   /* NULL: its applications were never joined: see ../bypass/ */
	struct bypass_stream *bypass; /* ... and the daemon's part of that */
	char *pending; /* read, but not yet written: pending_len bytes from pending_at on */
	uint32_t pending_at, pending_len;
	uint32_t pauses;
	uint64_t copied;     /* bytes the daemon wrote to the target */
	uint64_t direct_end; /* what had been sent directly when the sockets were closed */
	uint64_t taken;      /* of what the kernel handed up (lane->passed): bytes read */
	uint64_t low;        /* PAUSED: resume at this backlog */
	uint64_t redirected_before, trimmed_before; /* of budgets that are closed */
	uint64_t lost; /* redirected, but gone with a target that was closed before it took them */
	uint64_t redirected_end; /* what the kernel had moved when the sockets were closed */
	uint64_t released_at;    /* `copied` when the kernel had to give it up */
	uint64_t by_hand;        /* COPY: since when, though the kernel could have it; 0: not so */
	uint64_t hand_from;      /* `copied` at that time */
	struct stream_bulk bulk;
	uint64_t paused_at;     /* PAUSED: since when */
	uint64_t paused_unsent; /* PAUSED: unsent bytes at that time */
	uint64_t passed_seen;   /* SERVING: lane->passed when last looked at */
	struct timer wait;      /* waiting: when to look again */
	uint64_t wait_since;    /* waiting for a proof that does not come: since when; 0: not */
	uint64_t awaited;       /* bytes waited for at the last look; 0: not waiting for bytes */
	uint64_t backoff;       /* ns */
	struct task again;      /* more to do at once */
	enum stream_state state : 4;
	enum copy_reason why_copy : 4;
	bool eof;     /* the source's end was read or proved */
	bool drained; /* the kernel holds nothing for the target that it has not written */
	bool waiting; /* for something that is looked for when `wait` fires */
	bool signal;  /* waiting for long: the target says when it has room */
	bool lowat;   /* the target's TCP_NOTSENT_LOWAT is set for that */
	bool plenty;  /* the last read by hand gave as much as one usually takes */
	bool closed;  /* its sockets are: `redirected_end` is the kernel's share */
	bool doubted; /* another one may be told of its source's reset: its end is to be proved */
};

/* What a splice tells its owner, who may end it (see splice_stop()) with each of these calls. */
struct splice_owner {
	/* A socket failed, with `err` (positive errno), as a call has told. When it returns, the
	 * splice has ended, or c->failed is set, or its protocol goes on without that socket. */
	void (*failed)(struct splice *sp, struct conn *c, int err);
	/* Bytes are lost, or do not add up: it must end at once, with a reset to both sides. */
	void (*corrupt)(struct splice *sp);
	/* All that a failed source had sent is with the peer, or was passed on: it must end now. */
	void (*delivered)(struct splice *sp);
	/* A stream has ended, and its end was passed on. */
	void (*done)(struct splice *sp);
};

TAILQ_HEAD(splice_list, splice);
TAILQ_HEAD(bypass_streams, bypass_stream);

/* What the splices of one worker share: touched by its thread alone. */
struct splicer {
	const struct memory *memory; /* NULL: nothing bounds what splices hold in all */
	struct loop *loop;
	const struct maps *maps;          /* NULL: no kernel engine */
	const struct bypass_maps *bypass; /* NULL: no bypass */
	struct bypass_streams due;        /* bypassed streams that are to be looked at */
	struct task look;                 /* ... at the end of this turn */
	struct stats *stats;              /* counters of that thread */
	unsigned int index;               /* which ring its lanes' events come by */
	struct ring_buffer *ring;
	uint64_t lost_seen;          /* the event_lost counter when all lanes were last looked at */
	struct splice_list adopted;  /* those that have lanes, or had */
	struct splice_list awaiting; /* old enough one after the other, the first one first */
	struct timer adopt_timer;    /* when that one is */
	const struct stream *last_paused; /* to tell them apart, never followed */
	uint64_t company_ns;              /* when two streams were last paused by turns */
};

/* Two sockets, of which each gets what the other one sends: part of what owns it. */
struct splice {
	struct splicer *by;
	const struct splice_settings *settings;
	const struct splice_owner *owner;
	struct stream *streams;   /* two, by enum direction */
	uint64_t id;              /* for the log */
	uint64_t active_ns;       /* the daemon's last movement; the kernel's is in the lanes */
	uint64_t adopt_ns;        /* awaiting: when it is old enough for the kernel */
	struct splice_list *list; /* of its splicer's, the one it is on; NULL: neither */
	uint32_t slot;            /* its lanes are those of this slot */
	uint32_t generation;      /* and carry this; 0: it has had none */
	struct bypass *bypass;    /* NULL: not bypassed, and never was */
	enum local_bypass local;  /* ... and who may be joined */
	bool wants_bypass;        /* its listener allows it; when it is open: its sockets, too */
	bool copied_only;         /* counted as one that the kernel engine is never for */
	bool adopted;             /* was given to the kernel at least once */
	bool ended;               /* nothing is moved any more */
	TAILQ_ENTRY(splice) link;
};

static inline enum direction stream_direction(const struct stream *s)
{
	return s == &s->splice->streams[UP] ? UP : DOWN;
}
/* The stream that flows the other way. */
static inline struct stream *stream_opposite(const struct stream *s)
{
	return &s->splice->streams[stream_direction(s) == UP ? DOWN : UP];
}
static inline uint64_t stream_now(const struct stream *s)
{
	return s->splice->by->loop->now;
}
/* Tell the owner. */
static inline void stream_failed(struct stream *s, struct conn *c, int err)
{
	s->splice->owner->failed(s->splice, c, err);
}
static inline void stream_corrupt(struct stream *s)
{
	s->splice->owner->corrupt(s->splice);
}

/* Bytes that the source's application has put into its target's queue itself. */
uint64_t stream_moved_directly(const struct stream *s);
/*
 * Bytes moved so far, by whoever; by the kernel; cut off by it. As long as the stream runs, the
 * kernel's share counts what waits in the target's queue; in the end only what its TCP has taken.
 */
uint64_t stream_moved(const struct stream *s);
uint64_t stream_moved_by_kernel(const struct stream *s);
uint64_t stream_trimmed(const struct stream *s);
/* When the kernel, or its application, has moved bytes of it last (coarse monotonic ns); 0: never,
 * or that is in the splice's own `active_ns`. */
uint64_t stream_active_ns(const struct stream *s);
/* The same of the present lane alone. */
uint64_t stream_redirected(const struct stream *s);

/* How much the next read by hand takes: that, or all of a loop's buffer where the source has given
 * as much as was asked for, and the target has room for it. Fewer and larger system calls. */
size_t stream_read_size(const struct stream *s);
/* Makes room for `want` more bytes behind what is pending. 0 or -ENOMEM. */
int stream_room(struct stream *s, size_t want);
/* Appends to the pending bytes. 0 or -ENOMEM. */
int stream_keep(struct stream *s, const char *data, size_t len);
/* Puts bytes in front of those that are pending. 0 or -ENOMEM. */
int stream_put_first(struct stream *s, const void *data, size_t len);
/* What has come passes the filter, if there is one; the rest of it is `*len` bytes at *data. */
void stream_pass(struct stream *s, char **data, size_t *len, bool ended);

/* The only place a stream changes state. */
void stream_enter(struct stream *s, enum stream_state next);
/* Whether `next` may follow `from`: the table, for tests. */
bool stream_may_enter(enum stream_state from, enum stream_state next);
static inline bool stream_is_budgeted(const struct stream *s)
{
	return s->hand->budgets;
}
/* Whether the kernel has it: it moves the bytes, or will when what is waited for has come. */
static inline bool stream_in_kernel(const struct stream *s)
{
	return s->state == STREAM_ENGAGED || s->state == STREAM_SERVING ||
	       s->state == STREAM_PAUSED;
}

/* Pumps it again after the other ones have had their turn. Nothing where the splice has ended. */
void stream_again(struct stream *s);
void stream_not_again(struct stream *s);
/* Tells epoll what the stream's two sockets are to be watched for in its present state. */
void stream_watch(struct stream *s);
/* Frees what the stream holds; it must be off every list. */
void stream_fini(struct stream *s);
/* Puts the splice on one of its splicer's lists; NULL: takes it off. */
void splice_enlist(struct splice *sp, struct splice_list *list);

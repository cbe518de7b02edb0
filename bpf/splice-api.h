/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The whole contract between the BPF programs and the daemon: what the maps hold, and who may
 * write which field. Every field has a fixed width and exactly one writer.
 *
 * Maps
 *   sockets  sockhash, cookie -> socket. Every proxied TCP socket; no program; redirect target.
 *   engaged  sockhash, cookie -> socket. Sources the kernel may move; carries the verdict program.
 *   lanes    mmap-able array of struct lane.
 *   lane_of  hash, source cookie -> struct lane_ref.
 *   events   array of ring buffers, one a worker, of struct lane_event.
 *   owned    socket storage; its presence says: put this socket, or what this listener accepts,
 *            into `sockets` as soon as it is established.
 *   verdicts per-CPU array of counters, indexed by enum verdict_why.
 *   leaving  (a variable) how many threads of the daemon want a source out of `engaged` right now.
 *            sockops is called for every segment that is sent; while this is 0 it looks no further.
 *   alert_ns (a variable) when anything last happened that the gate is for, or that sources leave
 *            on their own for: see gate.h and leave.h.
 *   unheard  (a variable) raised by the verdict program: a source was engaged for which sockops is
 *            not called, because another program has taken the callback away.
 *   daemon   (a variable) the daemon's process id in the initial namespace; set by `introduce`,
 *            which the daemon runs once.
 */
#ifndef SPLICE_API_H
#define SPLICE_API_H

#ifndef __VMLINUX_SPLICED__
#include <linux/types.h>
#endif

#define SPLICE_MAX_WORKERS 256

/* Why a verdict was what it was; the index of `verdicts`. */
enum verdict_why {
	VERDICT_REDIRECTED,     /* moved to the target's queue */
	VERDICT_FIN,            /* an empty segment that carries only the FIN: dropped, see below */
	VERDICT_DUPLICATE,      /* every byte of it had been seen before */
	VERDICT_TRIMMED,        /* its front had been seen before; the rest went on */
	VERDICT_NO_LANE,        /* passed: the source has no lane */
	VERDICT_NO_TARGET,      /* passed: the target is not in `sockets` */
	VERDICT_ORDER,          /* passed: earlier bytes still wait in user space */
	VERDICT_LIMIT,          /* passed: the budget ends inside it */
	VERDICT_HARD,           /* passed: too much waits for the target */
	VERDICT_BEHIND,         /* one of those passed, behind a backlog of the source itself */
	VERDICT_BEYOND,         /* redirected, too much as it is: the source itself has a backlog */
	VERDICT_REFUSED,        /* gate: payload not let in; TCP sends it again */
	VERDICT_GAP,            /* dropped: bytes before it were lost; the session is aborted */
	VERDICT_EVENT_LOST,     /* an event did not fit its ring buffer */
	VERDICT_SOCKET_ADDED,   /* sockops: a socket was put into `sockets` */
	VERDICT_SOCKET_REFUSED, /* sockops: it could not be */
	VERDICT_STOPPED,        /* sockops: a source beyond `hard` was taken out of `engaged` */
	VERDICT_LEFT,           /* sockops: a source was taken out of `engaged` */
	VERDICT_NOT_LEFT,       /* sockops: not now: bytes wait in user space, or it has ended */
	VERDICT_UNHEARD,        /* a source was engaged for which sockops is not called */
	_VERDICT_MAX,
};

/* How much waits for a target. */
enum lane_beyond {
	LANE_WITHIN,  /* less than `hard`; set by the daemon before it engages the source */
	LANE_BEYOND,  /* the last segment was redirected beyond it */
	LANE_RUNAWAY, /* ... by more than can come until the source leaves on its own: it does not
		       */
	LANE_STOPPED, /* and so its source is out of `engaged` */
};

/*
 * One direction of a session. The first cache line is written by the verdict program alone (the
 * daemon clears it once, before the lane is first engaged), the second by the daemon alone.
 *
 * Stream arithmetic: `redirected + passed` is the position of the next byte a verdict will see.
 * `passed == forwarded` means that no byte handed up waits in user space.
 *
 * The target's backlog is what was given to its queue and not yet taken by its TCP:
 *     (copied + forwarded + redirected) - (target.write_seq - base)     (mod 2^32)
 * where base = write_seq - (copied + forwarded + redirected) at a moment when the backlog is
 * known to be empty: the first verdict of the lane.
 *
 * The pause mark is on what the target's TCP has not sent: the backlog and the unsent part of its
 * write queue. A mark on the backlog alone would let the write queue fill up first, and when it is
 * full the kernel looks again only a timer tick later (sk_psock_backlog()), however soon there is
 * room.
 */
struct lane {
	/* -- written by the verdict program; `let_in` by the gate, too, `beyond` and `left` by
	 * sockops, and `beyond` by the daemon while the source is not engaged -- */
	__u64 redirected; /* bytes given to the target's queue */
	__u64 passed;     /* bytes handed up to the daemon */
	__u32 trimmed;    /* bytes cut off because they had been seen; no more than it can hold */
	__u32 segments;   /* given to the target's queue (mod 2^32) */
	__u64 active_ns;  /* coarse monotonic clock at the last verdict with data */
	__u32 next_seq;   /* TCP sequence number of the next byte, valid for seq_epoch */
	__u32 seq_epoch;
	__u32 base;
	__u8 based;         /* 1: base is valid */
	__u8 beyond;        /* enum lane_beyond */
	__u16 left;         /* the last `leave` that was done: the source is out of `engaged` */
	__u16 pause_wanted; /* raised by one with each pause event */
	__u16 let_in;       /* when payload was last let in that the gate may have to refuse */
	__u32 mem_mark;     /* two generations bound the memory of the backlog, see verdict */
	__u32 mem_old;
	__u32 mem_new;
	/* -- written by the daemon -- */
	/* Passed bytes that are fully written to the target: equal to `passed` when the lane is
	 * engaged, and not changed until it is taken back. */
	__u64 forwarded;
	__u64 copied;     /* other bytes the daemon wrote to the target (mod 2^64) */
	__u64 limit;      /* position up to which the kernel may move; U64_MAX: a tunnel */
	__u32 epoch;      /* raised whenever next_seq must be taken from the source anew */
	__u16 pause_seen; /* the last pause_wanted that was acted on */
	__u16 shut;       /* 1: so is the gate, while bytes handed up wait in user space */
	__u32 high;       /* unsent bytes: ask for a pause */
	__u32 hard;       /* backlog in bytes: pass */
	__u32 mem_high;   /* the same two marks for the memory the backlog holds */
	__u32 mem_hard;
	__u32 generation; /* of the session that uses this slot */
	__u16 worker;     /* index of its ring buffer */
	__u16 leave;      /* differs from `left`: take the source out of `engaged` ... */
	__u64 taken;      /* ... if `passed` is still this; or LANE_ALL_READ */
};

/* `taken`: take it out as soon as none of what its TCP has received is unread, with whatever
 * segment is sent then. */
#define LANE_ALL_READ 0xffffffffffffffffULL

/* A power of two. */
#define LANE_MANY 1024

struct lane_ref {
	__u64 target; /* cookie */
	__u32 lane;   /* index into `lanes` */
	__u32 reserved;
};

enum lane_event_kind {
	LANE_EVENT_PASSED, /* bytes were handed up and none had been waiting */
	LANE_EVENT_PAUSE,  /* the backlog is above its high mark */
	LANE_EVENT_GAP,    /* bytes are missing: abort the session */
	LANE_EVENT_LIMIT,  /* the budget is used up, to the byte */
	LANE_EVENT_MANY,   /* LANE_MANY segments more were moved */
};

struct lane_event {
	__u32 lane;
	__u32 generation;
	__u16 kind; /* enum lane_event_kind */
	__u16 why;  /* enum verdict_why of a LANE_EVENT_PASSED */
	__u32 reserved;
};

_Static_assert(sizeof(struct lane) == 128, "struct lane is ABI between bpf/ and daemon/");
_Static_assert(__builtin_offsetof(struct lane, forwarded) == 64, "one cache line a writer");
_Static_assert(sizeof(struct lane_ref) == 16, "struct lane_ref is ABI");
_Static_assert(sizeof(struct lane_event) == 16, "struct lane_event is ABI");

/* Protections that a test may switch off to show what they are for; 0 in production. */
enum splice_debug {
	SPLICE_DEBUG_NO_TRIM = 1 << 0,     /* bpf: repeated bytes are not cut off */
	SPLICE_DEBUG_NO_RCVLOWAT = 1 << 1, /* daemon: no SO_RCVLOWAT around a delete */
	SPLICE_DEBUG_NO_MARKS = 1 << 2,    /* bpf: no high and hard mark */
	SPLICE_DEBUG_NO_PROOF = 1 << 3,  /* daemon: end of stream without waiting for the backlog */
	SPLICE_DEBUG_NO_CANARY = 1 << 4, /* daemon: no canary */
	SPLICE_DEBUG_PASS_FIN = 1 << 5,  /* bpf: an empty FIN segment is passed, not dropped */
	SPLICE_DEBUG_NO_GATE = 1 << 7,   /* the gate lets everything in */
	SPLICE_DEBUG_NO_STOP = 1 << 8,   /* no source leaves on its own: see leave.h */
	/* The other way round: one more protection. Daemon: see ledger.h. */
	SPLICE_DEBUG_CHECK_BYTES = 1 << 6,
};

#endif

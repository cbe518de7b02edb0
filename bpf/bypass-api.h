/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The contract between the bypass's BPF programs and the daemon: two applications of this host, A
 * and B, that talk through the daemon's sockets P1 and P2, are joined, so that what A sends is in
 * B's queue at once.
 *
 *     A --TCP-- P1 (daemon) P2 --TCP-- B        A's sk_msg program: into B's queue, directly
 *
 * Where A alone is an application of this host, what it sends is put into P2's TCP (`outlet`); what
 * comes for it is the other engines'.
 *
 * Sockets are known by their cookies, and those of a connection find each other by the two sequence
 * numbers it begins with: addresses mean something in one network namespace alone, and may be
 * translated on the way.
 *
 * Maps
 *   joining   socket storage: marks the daemon's sockets (a listener, and what it accepts; one that
 *             is about to connect) whose peers may be bypassed. Filled with the connection's
 *             handshake as that socket sees it.
 *   listening hash, cookie: the listeners that are marked; they are known before what they accept
 *             exists.
 *   expected  LRU hash, handshake as the application's socket sees it -> what `admit` finds it by,
 *             when it is established. The programs' own.
 *   joined    sockhash, cookie -> socket: the applications' and the daemon's. Carries the sk_msg
 *             program, and is where it redirects to.
 *   outlet    sockhash, cookie -> socket: the daemon's, of sessions of which one application alone
 *             is joined: what that sends goes into this one's TCP. Carries no program.
 *   bypass_of hash, cookie -> struct bypass_ref: what the programs do with a socket in `joined`.
 *   ways      mmap-able array of struct way.
 *   aims      array beside it: where a way's target is, and what `admit` finds it by. The programs'
 *             own.
 *   looks     mmap-able array: the ways that `peek` is to look at, BYPASS_LOOKS for each worker.
 */
#ifndef BYPASS_API_H
#define BYPASS_API_H

#ifndef __VMLINUX_SPLICED__
#include <linux/types.h>
#endif

/*
 * Bytes of a token: filler that the program puts into A's TCP when B's queue is full, so that A's
 * next send waits as it would for TCP's own window. The smallest receive buffer of P1 holds it. It
 * begins with the way's `nonce`.
 */
#define BYPASS_TOKEN 16384
/* Ways that one run of `peek` looks at. */
#define BYPASS_LOOKS 64
/* What an outlet's TCP holds unsent, in bytes: the source is stopped; it may go on. */
#define OUTLET_HIGH 65536
#define OUTLET_LOW  32768

/* A connection's first sequence numbers behind the SYNs, as one of its ends sees them. */
struct handshake {
	__u32 sent;
	__u32 received;
};

enum bypass_role {
	BYPASS_ROLE_SOURCE, /* an application's: what it sends goes the way */
	BYPASS_ROLE_INJECT, /* the daemon's: what it sends goes into the target's queue */
	BYPASS_ROLE_NONE,   /* an application's that will not be bypassed */
};

struct bypass_ref {
	__u64 target; /* INJECT: cookie */
	__u32 way;    /* SOURCE: index into `ways` */
	__u32 role;   /* enum bypass_role */
};

/* Where the bytes of a source's own TCP stand. */
enum way_phase {
	WAY_CARRIES, /* they are data: the daemon puts them into the target's queue */
	WAY_DIRECT,  /* they are tokens */
	WAY_LEFT,    /* they are data again, for good: see way_why */
};

/* Why a way was left, or not gone at all. */
enum way_why {
	WAY_NOT_LEFT,
	WAY_TARGET_GONE, /* closed, or reads no more */
	WAY_OWN_LOWAT,   /* the application has set a TCP_NOTSENT_LOWAT that no token can fill */
	WAY_TLS,         /* the kernel's TLS, or its like, is between the application and TCP */
	WAY_ZEROCOPY,    /* MSG_ZEROCOPY: completions are TCP's */
	WAY_REFUSED,     /* the kernel did not redirect, or take a socket into a map */
	WAY_NOT_LOCAL,   /* one of the two is not on this host, or not in bypass_cgroup */
	WAY_BLOCKING,    /* its socket has no O_NONBLOCK */
	WAY_BUSY,        /* there was no moment at which nothing was on its way */
	WAY_HALF_CLOSED, /* one side had ended before */
	WAY_MEMORY,      /* memory_max is near, or TCP's memory short */
	WAY_YOUNG,       /* the session was over before they were joined */
	WAY_SEGMENTS,    /* a token is more than one segment of the source's TCP */
	WAY_BUFFER,      /* the receive buffer of the daemon's socket is too large for tokens */
	WAY_CORRUPT,     /* what is in the source's TCP are not the tokens that were put there */
	WAY_FULL,        /* the outlet has no room for what the source sends */
	WAY_SMALL,       /* a bulk of small messages, that TCP puts together */
	_WAY_WHY_MAX,
};

/*
 * One direction: from a source application to its target. Each cache line has one writer. Positions
 * are bytes of the source's TCP stream, from its beginning and mod 2^32.
 */
struct way {
	/* -- written by the sk_msg program, under the source's lock -- */
	__u64 direct_bytes, direct_messages; /* put into the target's queue */
	/* Two points in the past of these: what is queued was sent after the second one, so no more
	 * messages are queued than since the first. */
	__u64 mark_bytes[2], mark_messages[2];
	__u64 active_ns;    /* coarse monotonic clock at the last of them */
	__u32 phase;        /* enum way_phase */
	__u32 tokens_from;  /* DIRECT, LEFT: the position where tokens begin ... */
	__u32 tokens_bytes; /* LEFT: ... and how many bytes of them there are */
	__u32 rest;     /* DIRECT: the source may go on when the target's queue is down to this */
	__u32 why;      /* LEFT: enum way_why */
	__u32 held;     /* how often the source was stopped */
	__u64 token_ns; /* coarse monotonic clock at one that could be sent at once; 0: none */
	__u32 most;     /* outlet: bytes of its messages, of the larger ones of late */
	__u32 need; /* outlet: memory that its write queue must have before the source goes on */
	/* DIRECT: whether this is a bulk of small messages, when that was looked at last: */
	__u32 bulk_bytes; /* ... direct_bytes / 1024 */
	__u32 bulk_time;  /* ... active_ns / 2^20 */
	__u32 bulk_back;  /* ... what had come the other way: messages, and segments */
	__u16 bulk_times; /* ... how often it was one, in a row */
	__u16 full;       /* once: the source has used all of the window it was offered */
	__u16 late;       /* CARRIES: sends that found the daemon behind */
	__u16 spins;      /* ... and of the last ones: in which share it was waited for */
	__u16 cramped;    /* outlet: CARRIES: sends for which its write queue is too small */
	__u16 discarded;  /* sockops: the source was closed with unread bytes in its queue */
	__u16 lates;      /* sockops: of the last tokens: those that were sent late */
	__u16 reserved2;
	/* Programs that have found the way, and may write to it: it belongs to nobody else until
	 * there are none. Those of earlier sources count, too. */
	__u32 inside;
	/* -- written by the daemon -- */
	__u64 source, target; /* cookies */
	__u32 base;           /* the source's sequence number at position 0 */
	__u32 on;
	__u32 high, low; /* bytes in the target's queue: stop the source; it may go on */
	__u32 messages;  /* the most messages in it */
	__u32 forwarded; /* CARRIES: the position up to which the daemon has put them there */
	__u32 leave;     /* enum way_why: the program is to leave the way with the next send */
	__u32 outlet;    /* the target is the daemon's, in `outlet` */
	__u64 nonce;     /* nobody else knows it */
	__u32 trusts;    /* ... and the source may block */
	__u32 memory;    /* outlet: what its write queue may take, where that is scarce; 0: all */
	/* -- written by `peek`, which the daemon runs: the target's socket -- */
	__u32 there;    /* it is the target, and alive */
	__s32 queued;   /* memory of what it has not read; outlet: bytes that are unsent */
	__u32 unread;   /* bytes of it that came by TCP; outlet: it has less room than is needed */
	__u32 received; /* TCP: sequence number of the next byte to come */
	__u32 written;  /* ... and of the next one to be sent */
	__u32 state;    /* of TCP */
	__u32 deaf;     /* it reads no more (RCV_SHUTDOWN) */
	__u32 file;     /* 0: it has none, 1: it has, and blocks, 2: O_NONBLOCK */
	__u32 unfit;    /* enum way_why: it cannot be bypassed at all; 0: it can */
	__u32 users;    /* what its psock is counted by: 1, and calls that send, or read */
	__u32 reserved5[6];
};

struct peek_args {
	__u32 first; /* index into `looks` */
	__u32 n;
};

/* The application's socket of a connection is to be the target of a way. */
struct find_args {
	struct handshake theirs; /* as that socket sees it */
	__u32 way;
	__u32 reserved;
	__u64 cookie; /* the answer; 0: it is not on this host, not in the cgroup, or not
			 established */
};

/*
 * `admit` is run with a packet, which a program that may put sockets into a map wants. It returns
 * how many of the targets of these ways, one after the other, are in `joined`; or, of the second
 * one where an outlet is named, whether that is there, and is the way's target now.
 */
struct admit_packet {
	__u8 ethernet[16];
	struct admit_args {
		__u32 ways[2];
		__u64 outlet; /* cookie; 0: none */
	} args;
	__u8 padding[32]; /* the kernel takes none that is shorter than a header */
};

_Static_assert(sizeof(struct way) == 256, "struct way is ABI between bpf/ and daemon/");
_Static_assert(__builtin_offsetof(struct way, inside) == 124, "nothing behind it is reset");
_Static_assert(__builtin_offsetof(struct way, source) == 128, "a cache line a writer");
_Static_assert(__builtin_offsetof(struct way, there) == 192, "a cache line a writer");
_Static_assert(sizeof(struct bypass_ref) == 16, "struct bypass_ref is ABI");

#endif

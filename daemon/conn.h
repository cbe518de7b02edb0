/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One proxied socket: its descriptor, what epoll knows of it, and what the daemon moved by hand. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "addr.h"
#include "config/config.h"
#include "sender.h"

struct kept;
struct server;

enum side { SIDE_CLIENT, SIDE_BACKEND };

/* Told beside epoll's events, and alone: epoll has refused to watch the socket for so long that it
 * is given up. */
#define CONN_UNWATCHED (1u << 26)

struct conn {
	int fd;          /* -1: none */
	uint32_t armed;  /* what epoll is to watch */
	bool watched;    /* epoll knows the socket */
	uint8_t refused; /* so often epoll has refused what it is to watch now: see loop_watch() */
	enum side side : 8;
	bool tcp;        /* not a unix socket */
	bool foreign;    /* accepted at a socket of another cgroup: sockops is not called for it */
	bool readable;   /* edge-triggered: true until a read finds nothing */
	bool writable;   /* true until a write finds no room */
	bool fin_seen;   /* EPOLLRDHUP: the peer will send no more */
	bool urgent;     /* EPOLLPRI: an urgent byte came; reading stops at such a byte */
	bool based;      /* `base` is valid */
	bool failed;     /* it was reset or broke; what it sent before may still be delivered */
	bool collected;  /* it is in `sockets` (see splice-api.h), under its cookie */
	bool outlet;     /* its send buffer is the bypass's: see buffers_outlet() */
	bool joinable;   /* its receive buffer is the bypass's: see bypass_buffer() */
	bool used;       /* it has served a request before */
	bool ended;      /* its output was ended: the FIN counts as a byte */
	bool gated;      /* the gate is in front of it: see maps_gate() */
	bool shared;     /* `lane_of` may have an entry under its cookie */
	bool lost;       /* failed because its peer answers no more */
	bool asked;      /* TCP asks whether its peer is still there */
	bool identified; /* its client has said on it who it is: it is nobody else's */
	bool end_first;  /* it failed after its peer had ended it properly */
	bool filled;     /* its sender filled the receive window while the kernel gave it back */
	bool tight;      /* its receive buffer is as small as `share`, whatever was promised */
	/* At the other end: a client, as a PROXY header names it; the address of a server. */
	struct addr peer;
	struct sender from; /* whose address a server sees */
	uint32_t share;     /* bytes of its buffers, where memory is scarce; 0: the usual ones */
	uint32_t window;    /* ... and of its receive window: see buffers.h */
	uint32_t segments;  /* the least that its usual receive window is; 0: not known */
	uint64_t cookie;
	uint64_t sent;     /* bytes the daemon wrote */
	uint64_t received; /* bytes the daemon read */
	uint64_t base;     /* acked + queued of tcp_state that stand for zero written bytes */
	uint64_t claimed;  /* counted as moved up to here: see ledger.h */
	/* Who has it, and is told what epoll reports of its socket. NULL: nobody. */
	void (*event)(struct conn *c, uint32_t events);
	void *owner;
	struct server *server;  /* what a backend's socket is connected to */
	struct kept *kept;      /* see upstream/kept.h; NULL: it never was */
	TAILQ_ENTRY(conn) link; /* refused by epoll, or to be freed */
};
TAILQ_HEAD(conn_list, conn);

/* A connection object without a socket. NULL: out of memory. */
struct conn *conn_new(void);
/* One from conn_new(), whose socket is closed. NULL is none. */
void conn_free(struct conn *c);

/* From now on a socket without the mark of the daemon's own (intercept/mark.h) is not connected: it
 * may come back, where connections are steered, and again and again. Before there is any thread. */
void conn_need_mark(void);

/*
 * Creates a non-blocking socket for `where` and starts connecting: TCP_NODELAY, urgent data in
 * line. Returns the descriptor, or a negative errno; -EINPROGRESS is not an error. -EAGAIN: the
 * backlog of a unix server is full, which nothing can be waited for. -EADDRNOTAVAIL: no local port
 * is free for that address. `mark` may mark the socket before it connects. With `speaks` there is
 * something to send at once, which then carries the acknowledgement of the server's SYN: one
 * segment less. `keepalive` is set if not NULL. `from`: whose address it is made from; NULL: this
 * host's. -EPFNOSUPPORT: it cannot be, to there. -EXDEV: see conn_need_mark().
 */
int conn_dial(const struct addr *where, const struct sender *from, bool speaks,
	      const struct tcp_keepalive *keepalive, void (*mark)(void *arg, int fd), void *arg);
/*
 * Whether a connection that may be silent for so many nanoseconds (UINT64_MAX: for ever) is to be
 * asked by TCP whether its peer is still there.
 */
bool conn_wants_keepalive(const struct tcp_keepalive *k, uint64_t silence);
/* Has TCP ask; what a listening socket is told counts for all it accepts. 0 or -errno. */
int conn_set_keepalive(int fd, const struct tcp_keepalive *k);
/* The same of a socket that may have been told something else before; NULL: it does not ask. */
int conn_change_keepalive(int fd, const struct tcp_keepalive *k);
/* The options every accepted TCP socket inherits from its listener. 0 or -errno. */
int conn_listen_options(int fd, const struct addr *where);
/*
 * The bypass of another daemon takes it for no application's, nor what it accepts from then on. For
 * a socket that has no mark for that, and cannot get it: of another cgroup, see INTERCEPT_MARK. A
 * bypass joins no socket that is allowed MSG_ZEROCOPY, which means nothing to who does not use it.
 */
void conn_stay_apart(int fd);
/* An accepted socket of a listener that is bound to `bound`: what it did not inherit. */
void conn_accepted(int fd, const struct addr *bound, const struct addr *client);
/*
 * Finds out whether the system's congestion control paces what it sends. Between two sockets of
 * this host there is no path to probe, and the pacing timers cost up to a third of the throughput:
 * such connections then use one without. And how long the system's keepalive takes. Called once,
 * before any socket is made.
 */
void conn_setup(bool keep_system_congestion);
/*
 * For a socket that listens already, and whose clients begin with a request: what it accepts does
 * not acknowledge the first segments, because the answer will. A client that turns out to have more
 * to say may be waiting for that (Nagle's algorithm): conn_ack_at_once() sends what is due and does
 * so from then on.
 */
void conn_ack_with_answer(int fd);
void conn_ack_at_once(int fd);
/* What a failed conn_dial() or a connection's error (positive errno) means, in words. */
const char *conn_strerror(int err);
/* SO_ERROR, as a positive errno; 0: none. */
int conn_error(int fd);
/* Takes note of what epoll says of its input: EPOLLIN, EPOLLPRI, EPOLLRDHUP, EPOLLHUP. */
void conn_input_event(struct conn *c, uint32_t events);
/*
 * A read gave less than was asked for: the queue was emptied, and the next byte raises a new edge.
 * That is not so at an urgent byte; and an end that was announced together with the bytes raises
 * none of its own.
 */
void conn_short_read(struct conn *c);
/*
 * Ends what is sent on it, with a FIN. 0 or a negative errno; a connection that its peer has reset
 * by now gives the reset's error, not ENOTCONN.
 */
int conn_end_output(struct conn *c);
/* Bytes of memory that its write queue may still take; 0 when that is not known. */
size_t conn_room(const struct conn *c);
/* Whether there is nothing to read, not even an end: the state of a connection between requests. */
bool conn_is_quiet(const struct conn *c);
/* Whether there is something to be read: bytes, the end, or an error, which stays there for who
 * reads it (conn_is_quiet() takes it away). */
bool conn_has_input(const struct conn *c);
/* What epoll would report of it now. */
uint32_t conn_events(const struct conn *c);
/* Whether its peer has ended it properly, with bytes unread before that end or not; no reset came.
 */
bool conn_has_ended(const struct conn *c);
/*
 * Bytes up to position `end` of what this connection was ever given were counted as moved: `sent`
 * of it, and what the kernel redirected. Never lowered.
 */
void conn_claim(struct conn *c, uint64_t end);
/* What acked + queued of tcp_state is while all that it was given is in its TCP, and no end. A
 * socket of TCP; what the kernel moved to it must be settled. */
uint64_t conn_written(const struct conn *c);
/*
 * Bytes that the connection has taken by now: those that its TCP has in its write queue or that its
 * peer has acknowledged, heads and framing included. False: that cannot be known.
 */
bool conn_taken(const struct conn *c, uint64_t *ret);
/* Closes the descriptor; with `reset` the peer gets RST instead of FIN. What was counted as moved
 * to it must have been taken: see ledger.h. */
void conn_close(struct conn *c, bool reset);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session: one client socket paired with one backend socket. It belongs to one worker and is
 * touched by that worker's thread alone.
 *
 * Ends in two steps: session_end() closes the sockets and takes it off every list; the worker
 * frees it after the turn of the loop, so no callback ever meets a freed session.
 */
#pragma once

#include "addr.h"
#include "sniff/state.h"
#include "splice/stream.h"
#include "timer.h"

struct dial;
struct dial_plan;
struct listener;
struct pool;
struct server;
struct worker;

enum session_state {
	SESSION_SNIFFING, /* reading what it is routed by */
	SESSION_DIALING,
	SESSION_HTTP, /* every request is routed on its own: see http/http.h */
	SESSION_OPEN,
	SESSION_HALF_CLOSED, /* one direction has ended */
	SESSION_ENDED,
	_SESSION_STATE_MAX,
};
extern const char *const session_state_str[_SESSION_STATE_MAX];

/* Why a session ended: the `end=` of the access log. */
enum session_end {
	END_DONE,
	END_CLIENT_RESET,
	END_SERVER_RESET,
	END_CLIENT_LOST, /* it answers no more */
	END_SERVER_LOST,
	END_IDLE_TIMEOUT,
	END_HALF_CLOSE_TIMEOUT,
	END_CONNECT_FAILED,
	END_NO_SERVER,
	END_DENIED,
	END_LIMIT,
	END_CLIENT_CLOSED, /* before it had said where it belongs */
	END_SNIFF_TIMEOUT,
	END_SNIFF_LIMIT,
	END_BAD_PROXY,
	END_UNTRUSTED_PROXY,
	END_NOT_TLS,
	END_BAD_HELLO,
	END_BAD_HTTP,
	END_NO_ROUTE,
	END_SHUTDOWN,
	END_INTEGRITY,
	END_ERROR,
	_SESSION_END_MAX,
};
extern const char *const session_end_str[_SESSION_END_MAX];

enum direction { UP, DOWN }; /* client to backend, backend to client */

/* What the first bytes said, for the log and for the PROXY header to the server. */
struct session_about {
	const char *protocol; /* "tls", "h2c", ...; a literal */
	char sni[256], alpn[256];
	uint16_t alpn_len; /* names as on the wire, each after its length */
	struct addr dst;   /* of a PROXY header that came in */
	uint8_t unique_id[128];
	uint8_t unique_id_len;
	bool checked;      /* that PROXY header had a checksum */
	uint8_t *tlvs;     /* what else it said, malloc'ed: see proxy_tlvs_of_others() */
	uint16_t tlvs_len; /* 0: nothing */
};

struct http;

struct session {
	struct worker *worker;
	struct listener *listener;
	struct pool *pool; /* NULL: not routed yet, or refused */
	struct http *http; /* in SESSION_HTTP; kept until the end for a tunnel that follows */
	struct session_about *about; /* NULL: nothing was sniffed */
	struct dial *dial;           /* a server is being connected; NULL: none */
	struct server *server;       /* the one connected, counted in there; NULL: none */
	struct conn *conns[2];       /* by enum side; the backend's is NULL when there is none */
	struct conn client_conn;
	struct stream streams[2]; /* by enum direction */
	struct sniff_state sniff;
	struct timer timer;
	uint64_t id;
	uint64_t began_ns, opened_ns;
	uint64_t active_ns; /* the copy engine's last movement; the kernel's is in the lanes */
	uint64_t moved_ns;  /* the last movement that is known: see silence.h */
	uint64_t taken[2];  /* by enum side: what that peer had taken when last looked at */
	uint64_t preamble;  /* bytes of the PROXY header for the server: not the client's */
	uint32_t slot, generation;
	uint8_t state;
	uint8_t end;
	bool outstanding;  /* a peer may take something without a further movement */
	bool adopted;      /* was given to the kernel at least once */
	bool awaiting;     /* on the worker's list of sessions to be given to the kernel */
	bool counted_copy; /* in the statistics as copied */
	bool sniffing;     /* on the worker's list of sessions that have not said enough */
	bool proxied;      /* a PROXY header has been dealt with */
	bool polite;       /* close without a reset */
	bool denied;       /* is told so in its own language: HTTP */
	bool tunnel;       /* what follows an HTTP upgrade or CONNECT, or is HTTP/2 */
	TAILQ_ENTRY(session) link;
	TAILQ_ENTRY(session) sniff_link;
	TAILQ_ENTRY(session) adopt_link;
};
TAILQ_HEAD(session_list, session);

/*
 * Begins a session with an accepted socket and a slot, both of which it owns from now on, and
 * starts dialling, or reading what it is routed by. The listener has counted it in already. A
 * `denied` client of HTTP gets a response that says so.
 */
void session_start(struct worker *w, struct listener *l, int fd, uint32_t slot,
		   const struct addr *client, bool denied);
/* Sends it to a pool: dials one of its servers. NULL: it is refused, nothing matches. */
void session_to_pool(struct session *s, struct pool *pool);
/* Refuses it as its protocol does: with a TLS alert, or a reset. */
void session_refuse(struct session *s, enum session_end end);
/* What the first bytes said; allocates it. NULL: out of memory, and the session has ended. */
struct session_about *session_about(struct session *s);
/* The backend is connected: bytes may flow. */
void session_opened(struct session *s);
/* From here on nothing is looked at: both streams are forwarded as they come, what is pending
 * first. The backend is connected. */
void session_tunnel(struct session *s);
/* Has it connected to a server: session_opened() follows, or its end. */
void session_dial(struct session *s, const struct dial_plan *plan);
/* It needs the server that is connected, or being connected, no more. */
void session_release_server(struct session *s);
/* The server that is connected or being connected, and its address; NULL: none. Of a session that
 * ends for want of one the address that was tried last. */
const struct server *session_server(const struct session *s);
const struct addr *session_backend(const struct session *s);
/* Gives the session a server connection, or takes the one it has, which is nobody's then. */
void session_attach(struct session *s, struct conn *c);
struct conn *session_detach(struct session *s);
/* Calls the session's timer in so many nanoseconds from the beginning of this turn, whatever it was
 * set to. It cannot fail. */
void session_arm(struct session *s, uint64_t ns);

/* The only place a session changes state. */
void session_enter(struct session *s, enum session_state next);
bool session_may_enter(enum session_state from, enum session_state next);

/* epoll reports `events` for one of the two sockets. */
void session_event(struct conn *c, uint32_t events);

/* What is said of a session that ends because the socket of one side failed with `err` (errno). */
enum session_end session_end_by(enum side side, int err);
/* Ends it. A peer whose incoming stream has not ended properly gets RST, so that no truncation
 * looks like an end. */
void session_end(struct session *s, enum session_end end);
/*
 * A socket failed with `err` (positive errno). What it sent before is still delivered, as it would
 * have been without a proxy: the session ends when the other peer has it, at the latest after a
 * second or two. From then on the socket's conn is `failed`.
 */
void session_fail(struct session *s, struct conn *c, int err);
/* After a stream has ended: half-closed, or done. */
void session_stream_done(struct session *s);
/* Second step of ending: frees, after kernel_forget(). Only the worker calls it. */
void session_free(struct session *s);

/* The monotonic time of the last byte in either direction. */
uint64_t session_active_ns(const struct session *s);
/* "kernel" when either direction is moved by the kernel or was, else "copy". */
const char *session_engine(const struct session *s);

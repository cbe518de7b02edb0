/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session: one client socket paired with one backend socket. It belongs to one worker and is
 * touched by that worker's thread alone.
 *
 * Its end is a mark: session_end() says how it ends, and that nothing happens to it any more. When
 * the turn of the loop is over, and nobody is at work with it, its sockets are closed and the log
 * and the counters are told; then it is freed.
 */
#pragma once

#include "addr.h"
#include "home.h"
#include "memory.h"
#include "protocol.h"
#include "sessionend.h"
#include "splice/splice.h"
#include "timer.h"

struct dial;
struct dial_plan;
struct listener;
struct pool;
struct server;

enum session_state {
	SESSION_LIVE,
	SESSION_ENDED, /* it is closed, and freed, when the turn of the loop is over */
};

/* What the first bytes said, for the log and for the PROXY header to the server. */
struct session_about {
	const char *protocol; /* "tls", "h2c", ...; a literal */
	char sni[256], alpn[256];
	uint16_t alpn_len; /* names as on the wire, each after its length */
	struct addr dst;   /* of a PROXY header that came in, */
	uint32_t header;   /* and its bytes; 0: none came */
	uint8_t unique_id[128];
	uint8_t unique_id_len;
	bool checked;      /* that PROXY header had a checksum */
	bool for_itself;   /* it named no client: its sender speaks for itself */
	uint8_t *tlvs;     /* what else it said, malloc'ed: see proxy_tlvs_of_others() */
	uint16_t tlvs_len; /* 0: nothing */
};

/* What of a stream the counters have already. */
struct session_told {
	uint64_t copied, redirected, bypassed, trimmed;
};

struct http;

struct session {
	const struct protocol *protocol; /* that it speaks now */
	struct home *home;
	struct listener *listener;
	struct pool *pool;           /* NULL: not routed yet, or refused */
	struct http *http;           /* requests, or the one that has become a tunnel */
	struct session_about *about; /* NULL: nothing was sniffed */
	struct addr *original;       /* where its client wanted to go when its connect was
					intercepted; NULL: it was not */
	struct dial *dial;           /* a server is being connected; NULL: none */
	struct server *server;       /* the one connected, counted in there; NULL: none */
	struct conn *conns[2];       /* by enum side; the backend's is NULL when there is none */
	struct conn client_conn;
	struct splice splice;
	struct stream streams[2];  /* by enum direction */
	struct sniff_state *sniff; /* until its client has said enough; else NULL */
	struct timer timer;        /* of session_arm(); it may fire sooner */
	uint64_t deadline_ns;      /* what that is set for */
	uint64_t id;
	uint64_t began_ns, opened_ns;
	struct memory_part memory;
	uint64_t moved_ns; /* the last movement that is known: see silence.h */
	uint64_t taken[2]; /* by enum side: what that peer had taken when last looked at */
	struct session_told told[2];      /* by enum direction */
	const struct server *told_server; /* that it is counted for; NULL: none */
	uint64_t preamble; /* bytes of the PROXY header for the server: not the client's */
	enum session_state state;
	enum session_end end; /* LIVE: what it will be when the last bytes are delivered */
	bool extended;        /* its deadline was, because the loop was late: once */
	bool closed;          /* its sockets are, and it was logged and counted */
	bool outstanding;     /* a peer may take something without a further movement */
	bool proxied;         /* a PROXY header has been dealt with */
	bool served;          /* a server was connected */
	bool polite;          /* close without a reset */
	bool given_up;        /* but the server's socket: it is to know that nobody waits */
	bool denied;          /* is told so in its own language: HTTP */
	bool no_room;         /* ended as `limit` because of memory_max */
	/* What follows an HTTP upgrade or CONNECT, or is HTTP/2: its bytes are looked at no more.
	 * Set with the change of protocol; http_goes_on() relies on it. */
	bool tunnel;
	TAILQ_ENTRY(session) link;
};

static inline struct session *session_of(const struct stream *s)
{
	return container_of(s->splice, struct session, splice);
}

/*
 * Begins a session with an accepted socket, a slot, and where its client wanted to go (malloc'ed;
 * NULL: its connect was not intercepted), all of which it owns from now on; `begin` has it speak
 * its first protocol. The listener has counted it in already. A `denied` client of
 * HTTP gets a response that says so. False: out of memory, and nothing was taken.
 */
bool session_start(struct home *home, struct listener *l, int fd, uint32_t slot,
		   const struct addr *client, struct addr *original, bool denied,
		   void (*begin)(struct session *s));
/* Whether memory_max is so near that a client of HTTP, or of what may be HTTP, which has not been
 * served yet is refused. Then it is counted and noted as that. */
bool session_finds_no_room(struct session *s);
/* The only place a session changes its protocol: `next` decides what happens to it from now on. */
void session_speak(struct session *s, const struct protocol *next);
/*
 * It goes by that listener from now on, which is one of its own one's name in another setup, with
 * that setup. It has no server, and what it keeps of the setup before is not used any more.
 */
void session_move(struct session *s, struct listener *l);
/* What the first bytes said; allocates it. NULL: out of memory, and the session has ended. */
struct session_about *session_about(struct session *s);
/*
 * Where its client wanted to go: as a PROXY header says it, or an intercepted connect, or else the
 * address that the client has connected to. Found at `buf`, or elsewhere. NULL: nobody knows.
 */
const struct addr *session_destination(const struct session *s, struct addr *buf);
/* Has it connected to a server: its protocol is told `connected`, or `dial_failed`. */
void session_dial(struct session *s, const struct dial_plan *plan);
/* It needs the server that is connected, or being connected, no more. */
void session_release_server(struct session *s);
/* The server that is connected or being connected, and its address; NULL: none. Of a session that
 * ends for want of one the address that was tried last. */
const struct server *session_server(const struct session *s);
const struct addr *session_backend(const struct session *s);
/* Takes the server connection that it has, which is nobody's then. */
struct conn *session_detach(struct session *s);
/* Calls the protocol's `timeout` in so many nanoseconds from the beginning of this turn, whatever
 * it was set to; or never. It cannot fail. */
void session_arm(struct session *s, uint64_t ns);
void session_disarm(struct session *s);

/* What is said of a session that ends because the socket of one side failed with `err` (errno). */
enum session_end session_end_by(enum side side, int err);
/* Ends it, if nobody has before: whoever calls can go on to the end of what it does, and what it
 * does is in vain. A peer whose incoming stream has not ended properly will get RST, so that no
 * truncation looks like an end. */
void session_end(struct session *s, enum session_end end);
/* A socket failed with `err` (positive errno), as a call has told: what that means is for its
 * protocol to say. Nothing where that is known. */
void session_fail(struct session *s, struct conn *c, int err);
/* Takes it off its home's list of those that live. */
void session_unlist(struct session *s);
/* Of one that has ended, when nobody is at work with it: closes its sockets, logs and counts it.
 * Nothing when it is called again; nor, but with `now`, while splice_may_close() says no. Then
 * frees, after splice_forget(). Only the worker calls them. */
void session_close(struct session *s, bool now);
void session_free(struct session *s);

/* The monotonic time of the last byte in either direction. */
uint64_t session_active_ns(const struct session *s);
/* "kernel" when either direction is moved by the kernel or was, else "copy". */
const char *session_engine(const struct session *s);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of an HTTP connection. At any time there is at most one request on its way; those that
 * are pipelined behind it wait in the client's stream.
 *
 *   IDLE        between requests: nothing of the next one has come
 *   HEAD        a part of a request head has come
 *   CONNECTING  the request is routed, its server is being connected
 *   WAITING     the request goes out; the response head is awaited
 *   ANSWERING   the response head is out, the body follows; the request's may still be under way
 *   CLOSING     the last response is complete; its last bytes are on their way into TCP
 *   LINGERING   the end was sent; what the client still sends is thrown away, so that no reset
 *               overtakes the response
 */
#pragma once

#include <sys/uio.h>

#include "../session.h"
#include "../upstream/own.h"
#include "body.h"
#include "head.h"
#include "trace.h"

/* What of a request's body is kept to be sent again: more is not, and then it is not. */
#define HTTP_REPLAY_MAX (32 << 10)

enum http_phase {
	HTTP_IDLE,
	HTTP_HEAD,
	HTTP_CONNECTING,
	HTTP_WAITING,
	HTTP_ANSWERING,
	HTTP_CLOSING,
	HTTP_LINGERING,
	_HTTP_PHASE_MAX,
};
extern const char *const http_phase_str[_HTTP_PHASE_MAX];

/* How a request ended: the `end=` of its access log line. */
enum http_end {
	HTTP_END_DONE,
	HTTP_END_BAD_REQUEST,
	HTTP_END_MISDIRECTED, /* no route for this host: called no_route, too */
	HTTP_END_NO_TUNNEL,   /* CONNECT, and no route says so: the same */
	HTTP_END_NO_ROUTE,
	HTTP_END_DENIED,
	HTTP_END_HEAD_TIMEOUT,
	HTTP_END_REQUEST_TIMEOUT,
	HTTP_END_BODY_TOO_LARGE,
	HTTP_END_HEAD_TOO_LARGE,
	HTTP_END_TOO_MANY_FIELDS,
	HTTP_END_CONNECT_FAILED,
	HTTP_END_BAD_RESPONSE,
	HTTP_END_SERVER_RESET,
	HTTP_END_SERVER_LOST,
	HTTP_END_CLIENT_LOST,
	HTTP_END_NO_SERVER,
	HTTP_END_LIMIT,
	HTTP_END_RESPONSE_TIMEOUT,
	HTTP_END_CLIENT_RESET,
	HTTP_END_CLIENT_CLOSED,
	HTTP_END_TUNNEL_TIMEOUT,
	HTTP_END_SHUTDOWN,
	HTTP_END_KILLED,
	HTTP_END_INTEGRITY,
	HTTP_END_ERROR,
	_HTTP_END_MAX,
};
extern const char *const http_end_str[_HTTP_END_MAX];

/* Bytes for one side that it had no room for yet. */
struct http_out {
	char *data;
	uint32_t at, len;
};

/* What sending a request again needs to know: see replay.c. */
struct http_replay {
	uint64_t sent;  /* conn.sent when it was begun */
	uint64_t acked; /* conn_written() then; 0: on a connection that had served no other */
	char *body;     /* what was sent behind the head */
	uint32_t len, room;
	bool lost; /* not all of that is in `body` */
};

/* The request on its way. */
struct http_request {
	uint64_t id;
	uint64_t began_ns, dialled_ns, connected_ns, first_ns;
	uint64_t ended_ns;     /* 0: it ends when it is recorded */
	struct pool *pool;     /* NULL: not routed */
	struct server *server; /* NULL: none was connected */
	struct addr backend;
	uint16_t status;    /* of the response; 0: none yet */
	uint16_t n_interim; /* responses of 1xx before it */
	enum http_method method_id;
	uint8_t minor; /* of the client's version */
	bool upgrade, expect;
	bool idempotent;
	bool identifies; /* it says who the client is, for the whole connection */
	bool last;       /* the client said that it is its last */
	bool retried;    /* was sent again, or is to be */
	struct http_replay replay;
	bool spliced;                 /* the kernel moved a part of a body */
	bool kept;                    /* sent on a connection that had served another request */
	char trace[TRACE_ID_LEN + 1]; /* the id of the trace that it is of; "": none */
	uint32_t method_len, host_len, path_len; /* in text, one after the other, for the log */
	uint32_t head_len;                       /* then the head for the server */
	char text[];
};

/* The head for the server: behind the texts. */
static inline char *http_head_of(struct http_request *r)
{
	return r->text + r->method_len + r->host_len + r->path_len + 3;
}

struct http {
	struct http_request *request;     /* NULL: between requests */
	struct http_out out[2];           /* by enum side */
	struct http_body body[2];         /* by enum direction */
	struct trailer_rules trailers[2]; /* the same */
	struct own own;                   /* server connections for this client only */
	struct http_scan scan[2];         /* of a head that is not complete; the same */
	uint64_t began_ns;                /* when the first byte of the request came */
	uint64_t n_requests;              /* heads that came to their end, or were refused */
	uint64_t tunnel_base[2];          /* by enum direction: bytes that were not the tunnel's */
	uint64_t lost[2]; /* by enum side: bytes of this exchange that it will never take */
	uint16_t status;  /* of the proxy's own answer, where there is no request to keep it in */
	enum http_error refused; /* what was wrong with either message */
	enum http_phase phase;
	bool by_silence;   /* the deadline is one of silence.h: to be looked at, not the end */
	bool close;        /* no further request on this connection */
	bool expired;      /* idle for as long as it may be */
	bool newly_denied; /* since a reload, and not counted yet */
	bool keep;         /* the server's connection can be kept after the response */
	bool polite;       /* the client has sent all of the last request, and knew that it is */
	bool
	    cut; /* the request ends as cut_end: a reset tells it, when what there is has arrived */
	bool delivered; /* the server's TCP has taken the whole request */
	bool unwanted;  /* of the request nothing more will come: an answer instead of `continue` */
	enum http_end cut_end;
};

/* Whether the session still speaks HTTP: it has not ended, and is no tunnel. */
static inline bool http_goes_on(const struct session *s)
{
	return !s->tunnel && s->state != SESSION_ENDED;
}

static inline bool http_is_in(const struct session *s, enum http_phase phase)
{
	return http_goes_on(s) && s->http->phase == phase;
}

/* Whether the response that is awaited, or the next one, can still say that it is the last. One
 * whose head has said nothing of it is not: its client may have sent more. */
static inline bool http_may_say_close(const struct http *h)
{
	return h->phase <= HTTP_WAITING;
}

/* The phase may last so many nanoseconds, from now on; or be silent for so long. */
void http_deadline(struct session *s, uint64_t ns);
void http_silence(struct session *s, uint64_t ns);
/* ... or, as it is, for so long again. */
void http_look_in(struct session *s, uint64_t ns);
/* The request will not be sent again, whatever comes: frees what is kept for that. */
void http_replay_end(struct http_request *r);
void http_out_free(struct http_out *out);
/* Frees all of it. */
void http_free(struct session *s);

/* The only place a connection changes phase. */
void http_enter(struct session *s, enum http_phase next);
bool http_may_enter(enum http_phase from, enum http_phase next);

/* ---- fail.c ----------------------------------------------------------------------------- */

/* A socket failed with `err` (positive errno). */
void http_fail(struct session *s, struct conn *c, int err);
/* abort_on_close: ends the session if its client has ended its stream and no response has begun. */
bool http_give_up(struct session *s);

/* ---- dial.c ----------------------------------------------------------------------------- */

/* Dials for the request. */
void http_dial(struct session *s);

/* ---- request.c -------------------------------------------------------------------------- */

/* Reads a request head as far as it has come, and sends the request on its way. True: look again.
 */
bool http_next_request(struct session *s);
/* The server is connected: the head goes out. */
void http_send_request(struct session *s);
/* Moves the request's body. */
void http_pump_request(struct session *s);
/* Whether the server's TCP has every byte of the request. */
bool http_is_delivered(const struct session *s);

/* ---- response.c ------------------------------------------------------------------------- */

/* Reads the response head and moves the body. */
void http_pump_response(struct session *s);
/* The server's connection has ended or failed before its response was complete. */
void http_server_gone(struct session *s);

/* ---- follow.c --------------------------------------------------------------------------- */

/*
 * Between two requests: from now on the connection goes by the worker's newest setup, if that has a
 * listener of its own one's name with the same addresses; else its next response is the last.
 */
void http_follow(struct session *s);

/* ---- tunnel.c --------------------------------------------------------------------------- */

/* From here on both sides are forwarded as they come. */
void http_become_tunnel(struct session *s);

/* ---- replay.c --------------------------------------------------------------------------- */

/* The request begins on its server's connection. */
void http_replay_begin(struct session *s);
/* More of its body is about to be sent; `iov` is what goes to the server. */
void http_replay_note(struct session *s, const struct iovec *iov, int n);
/*
 * The server's connection has ended or failed before a response. True: the request is sent once
 * more, on a new connection. That is so if none of it can have been read, or if it is idempotent,
 * a kept connection was used, and all that was sent is at hand.
 */
bool http_try_again(struct session *s);
/* Whether what comes first for a request is no answer to it: the server's TCP has had nothing of
 * the request, which goes on a connection that had served another. */
bool http_is_unasked(const struct session *s);
/* Whether the request may be sent again then: it can be repeated, or it reaches nobody. */
bool http_may_resend(const struct session *s);
/* Whether a connection that was kept has failed such that nobody knows if the request was read. */
bool http_is_stale(const struct session *s);

/* ---- identity.c ------------------------------------------------------------------------- */

/* Whether the head is part of an authentication that holds for the connection: credentials of a
 * request, a challenge of a response. */
bool http_identifies(const struct http_head *head, const char *in);

/* ---- finish.c --------------------------------------------------------------------------- */

/*
 * The response is complete. When it is written, and the server's TCP has all of the request or will
 * take no more of it: on to the next request, or to the end of the connection.
 */
void http_finish(struct session *s);
/* The same, though the rest of the request will not come: its end is `end`. */
void http_leave(struct session *s, enum http_end end);
/* Whether the response is complete and in the client's TCP: then no reset may throw it away. */
bool http_is_answered(const struct session *s);
/* Gives the server's connection back, or closes it: then what it has not taken was not moved. */
void http_release_server(struct session *s, bool keep);
/* An idle connection that is to wait no longer, because the daemon drains or its time is up, is
 * looked at once more: the pump reads, and then calls http_end_idle(). Others go on. */
void http_look_at_idle(struct session *s);
/* No request was there to be read: it ends, if it is such a one. */
void http_end_idle(struct session *s);
/* CLOSING and LINGERING. */
void http_pump_closing(struct session *s);

/* ---- answer.c --------------------------------------------------------------------------- */

/* The proxy's own response to the request, and the end of the connection after it. Where a part of
 * another response is out already, the connection is cut off. */
void http_answer(struct session *s, enum http_end end);
/* The response to OPTIONS or TRACE whose last hop this is (Max-Forwards: 0): 200, and for TRACE the
 * request as it came, without what it must keep to itself. `in` is what the head was parsed of. */
void http_answer_as_last(struct session *s, const struct http_head *head, const char *in);
/* The connection ends without a response, as one between two requests may: its client knows that
 * it can send the request again. */
void http_say_nothing(struct session *s);
/* The server has left in the middle of a response: what came of it is still delivered, and then the
 * connection ends so that the client sees that it is cut. */
void http_cut(struct session *s, enum http_end end);
/* The same at once; a response that is complete is left in peace. */
void http_abort(struct session *s, enum http_end end);

/* ---- record.c --------------------------------------------------------------------------- */

/* A tunnel has begun: the request lasts until it ends. */
void http_record_tunnel(struct session *s);
/* What will be counted of the request is claimed of the server's connection, which may be closed
 * before it is recorded: see ledger.h. */
void http_claim_request(struct session *s);
/* Counts a response; `server` is NULL for one of the daemon's own without one. */
void http_count_status(const struct session *s, const struct server *server, unsigned int status);
/* Logs and counts the request, and frees it. */
void http_record(struct session *s, enum http_end end);
/* What there is to record when the session ends, also as a tunnel. Whether that says it all. */
bool http_ended(struct session *s);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client's connection in http mode: one request after the other, each routed on its own. What
 * the rest of the daemon calls. See exchange.h for what is inside.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../session.h"

/* Room for a head that is being written; a head of head_max bytes fits with what is added to it. */
#define HTTP_SCRATCH (160 * 1024)

extern const struct engine engine_http;

/* A session that speaks HTTP/1.x: what is pending in its upward stream is the first request. */
void http_start(struct session *s);
/* epoll reports `events` for the client's or the server's socket. */
void http_event(struct session *s, struct conn *c, uint32_t events);
/* Closes kept connections whose server has lost the address that they go to. */
void http_check_own(struct session *s);
/* A socket failed with `err` (positive errno). */
void http_fail(struct session *s, struct conn *c, int err);
/* The session's timer has fired. */
void http_timeout(struct session *s);
/* The timer fires in so many nanoseconds at the latest. */
void http_deadline(struct session *s, uint64_t ns);
/* The same for a silence of so many ns, which begins now. */
void http_silence(struct session *s, uint64_t ns);
/* The request's server is connected; none can be, and why. */
void http_connected(struct session *s);
void http_no_server(struct session *s, enum session_end end);
/* The daemon ends: a connection between two requests is closed, others after their response. */
void http_drain(struct session *s);
/* The session has ended with s->end: an unfinished request is logged. */
void http_ended(struct session *s);
void http_free(struct http *h);

/* "WWW.Example:8080" -> "www.example": lower case, without port and trailing dot; cut to fit. */
void http_host_name(const char *authority, size_t len, char *ret, size_t size);

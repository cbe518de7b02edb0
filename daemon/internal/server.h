/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `server = NAME internal:hello`: a small HTTP server inside the daemon, on a loopback port of
 * the kernel's choice, for the quick start and for tests. It runs on libevent's evhttp in its own
 * thread, so that a slow request never delays a session.
 *   GET /            a short text page that names the paths below and the client's address
 *   GET /bytes/N     N bytes (0 to 2^40) of a repeating pattern, Content-Length set
 *   GET /stream      one line a second until the client goes away (chunked), at most an hour
 *   POST or PUT /echo   the request's body back
 */
#pragma once

#include "../addr.h"

struct internal;

/* Binds 127.0.0.1:0 (or [::1]:0 where IPv4 is missing), starts the thread, *where is the address.
 * NULL and a log line on failure. */
struct internal *internal_start(struct addr *where);
void internal_stop(struct internal *h); /* joins the thread; NULL is allowed */

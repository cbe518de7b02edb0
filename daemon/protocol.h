/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a session speaks: a protocol decides what happens to it, by what happens on its sockets. It
 * has one after the other: first what finds out where it belongs (sniff/), then bytes that are
 * forwarded as they come (tcp.h), or requests (http/), which may become a tunnel.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sessionend.h"

struct conn;
struct session;

struct protocol {
	/* The state that the session is in, in a word, for `splicectl sessions`: a literal. */
	const char *(*describe)(const struct session *s);
	/* epoll reports `events` for one of its two sockets. */
	void (*event)(struct session *s, struct conn *c, uint32_t events);
	/* The time of session_arm() is up. */
	void (*timeout)(struct session *s);
	/* After session_dial(): a server is connected, and with an `err` (positive errno) that
	 * connection has broken already; it is told to conn_failed() next, unless it was marked as
	 * failed here. None can be, and `end` says why. */
	void (*connected)(struct session *s, int err);
	void (*dial_failed)(struct session *s, enum session_end end);
	/* One of its sockets, which has not failed before, has now, with `err` (positive errno). */
	void (*conn_failed)(struct session *s, struct conn *c, int err);
	/* One of its streams has ended properly, and the end was passed on. */
	void (*stream_done)(struct session *s);
	/* home->drain has gone on; the daemon may wait for the session's end. NULL: that comes by
	 * itself. Nothing ends within the call. */
	void (*drain)(struct session *s);
	/* The session has ended with s->end; its sockets are still open. True: the log has lines of
	 * what it did, and needs none of the session. NULL: false. */
	bool (*ended)(struct session *s);
	/* Frees what it keeps of the session. NULL: nothing. */
	void (*free)(struct session *s);

	/* The worker has a newer setup, or servers have lost addresses: it goes by that, where it
	 * may, and closes what it keeps for later of connections that are useless now. NULL: it
	 * goes on as it is. */
	void (*renew)(struct session *s);
};

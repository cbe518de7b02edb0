/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes that are forwarded as they come, in both directions: a session that is routed once, by what
 * its first bytes say or by its listener alone; and the tunnel that another protocol becomes.
 */
#pragma once

#include "protocol.h"

struct pool;

/* Dials a server of the pool; what is pending for it goes first, behind the PROXY header that the
 * pool wants. */
void tcp_dial(struct session *s, struct pool *pool);

/*
 * The server is connected, and from here on nothing is looked at: forwards both streams, what is
 * pending first. `as` is protocol_tcp, or that of a tunnel, which is made of the functions below
 * and has an end of its own.
 */
void tcp_forward(struct session *s, const struct protocol *as);

extern const struct protocol protocol_tcp;

const char *tcp_describe(const struct session *s);
void tcp_event(struct session *s, struct conn *c, uint32_t events);
void tcp_timeout(struct session *s);
void tcp_conn_failed(struct session *s, struct conn *c, int err);
void tcp_stream_done(struct session *s);

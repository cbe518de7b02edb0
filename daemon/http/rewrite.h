/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Heads as they go on: hop-by-hop fields removed, what the listener adds added. */
#pragma once

#include "exchange.h"
#include "trace.h"

/* Both return the length, or 0: it does not fit into `size`. `in` is what the head was parsed of.
 */
size_t rewrite_request(const struct session *s, const struct http_head *head,
		       const struct trace *trace, const char *in, char *out, size_t size);

/* The same of a request as it came, without credentials: what TRACE is answered with. */
size_t rewrite_trace(const struct http_head *head, const char *in, char *out, size_t size);

/* What a response says about the client's connection, besides upgrades. */
enum rewrite_connection { SAY_NOTHING, SAY_CLOSE, SAY_KEEP_ALIVE };
size_t rewrite_response(const struct session *s, const struct http_head *head, const char *in,
			enum rewrite_connection say, bool chunked, char *out, size_t size);

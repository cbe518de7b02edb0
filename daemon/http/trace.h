/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which trace a request is of: W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context-1/).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "head.h"

struct listener_config;

#define TRACE_ID_LEN     32
#define TRACE_PARENT_LEN 55 /* of the version that is written here, 00 */

struct trace {
	char id[TRACE_ID_LEN + 1]; /* "": none */
	/* The value for a server, whose request has begun a trace here; "": what the client sent
	 * goes on as it is. */
	char parent[TRACE_PARENT_LEN + 1];
};

/* The id in the value of a traceparent; NULL: the value is not valid. */
const char *trace_parse(const char *value, size_t len);
/* What the request says, and what the listener makes of it. */
void trace_of(const struct listener_config *c, const struct http_head *head, const char *in,
	      struct trace *ret);

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

/* A session that speaks HTTP/1.x: what is pending in its upward stream is the first request. */
void http_start(struct session *s);
/* "WWW.Example:8080" -> "www.example": lower case, without port and trailing dot; cut to fit. */
void http_host_name(const char *authority, size_t len, char *ret, size_t size);

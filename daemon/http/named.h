/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the Connection fields of a head name. */
#pragma once

#include "head.h"

/*
 * Does a proxy say in a field of this name where a request comes from, or which one it is:
 * X-Forwarded-*, X-Real-IP and X-Request-Id, in any spelling? Of the others that do, such as
 * Forwarded and Via, http_field_parse() knows the names.
 */
bool name_is_of_proxies(const char *name, size_t len);

/*
 * Marks each field of the head that a Connection field names, in whatever spelling: see
 * names_alike(). Not what a proxy in front says in a request: many proxies pass their client's
 * Connection on, and the client could have removed with it what servers trust. The options are at
 * most HTTP_CONNECTION_OPTIONS; the work is one look-up for each field, whatever the names are.
 */
void http_mark_named(struct http_head *head, const char *buf);

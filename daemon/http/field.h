/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One field of a head. */
#pragma once

#include "head.h"

/*
 * Parses one field line, without its CR LF, that has no control bytes but HT. The slices count from
 * line + 0; returns 0 or -enum http_error.
 */
int http_field_parse(const char *line, size_t len, struct http_field *ret);

/*
 * Is this element of an Upgrade field HTTP/2 in the clear? It would take all further requests past
 * the routes, and RFC 9113 knows it no more.
 */
bool http_upgrade_is_h2(const char *protocol, size_t len);
/*
 * Is the field for this hop only? Connection, Keep-Alive, Proxy-Connection, TE, Upgrade,
 * HTTP2-Settings, those in another spelling, and what Connection names, except that it cannot take
 * away a field that this proxy gives a meaning to, such as Host, nor what a proxy in front says:
 * see http_mark_named(). Transfer-Encoding is the caller's.
 */
bool http_is_hop_by_hop(const struct http_field *f);

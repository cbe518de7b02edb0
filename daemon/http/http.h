/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client's connection in http mode: one request after the other, each routed on its own. What
 * the rest of the daemon calls. See exchange.h for what is inside.
 */
#pragma once

#include "../session.h"

/* A session that speaks HTTP/1.x: what is pending in its upward stream is the first request. */
void http_start(struct session *s);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first line of a head: method, target and version; or version, status and reason. */
#pragma once

#include "head.h"

/* The first line of a request or a response, in buf[at, end) with CR LF behind it. 0 or
 * -enum http_error. */
int head_first_line(const char *buf, size_t at, size_t end, struct http_head *h);

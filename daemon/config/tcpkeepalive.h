/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcp_keepalive: no, yes, auto, or nginx's IDLE:INTERVAL:COUNT of which parts may be left out. */
#pragma once

#include "table.h"
#include "text.h"

/* Parses into a struct tcp_keepalive. 0, -ENOMEM, or -EINVAL with the reason added to *why. */
int tcpkeepalive_parse(const struct option *o, const char *text, void *field, struct text *why);
/* Writes it the way tcpkeepalive_parse() reads it. */
void tcpkeepalive_format(const struct tcp_keepalive *k, FILE *out);

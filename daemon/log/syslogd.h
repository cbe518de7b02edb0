/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A syslog daemon, as a place for lines: RFC 3164 or RFC 5424 in datagrams. */
#pragma once

#include <stddef.h>

#include "line.h"
#include "place.h"

#define SYSLOGD_LINE_MAX (LOG_LINE_MAX + 512)

/* A connected datagram socket; -1 with errno set. */
int syslogd_open(const struct log_place *place);
/* Makes the datagram of a line; its length. */
size_t syslogd_format(const struct log_place *place, const char *text, size_t len,
		      char out[SYSLOGD_LINE_MAX]);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the lines of a log go, as `access_log =` says it. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

enum log_place_kind {
	LOG_PLACE_NONE, /* no */
	LOG_PLACE_WITH, /* yes: where the daemon's messages go */
	LOG_PLACE_STDERR,
	LOG_PLACE_STDOUT,
	LOG_PLACE_JOURNAL,
	LOG_PLACE_FILE,   /* /path */
	LOG_PLACE_SYSLOG, /* syslog:ADDRESS[,OPTION...] */
};

struct log_place {
	enum log_place_kind kind;
	char path[PATH_MAX]; /* of a file */
	struct {
		struct sockaddr_storage addr; /* a unix datagram socket, or UDP */
		socklen_t len;
		int priority; /* facility * 8 + severity, of RFC 5424 */
		bool rfc5424; /* else RFC 3164 */
		char tag[33];
	} syslog;
};

/* What a text may be, for messages. */
extern const char log_place_allowed[];
/* 0, or -EINVAL with the reason in `why`. */
int log_place_parse(const char *text, struct log_place *ret, char why[128]);

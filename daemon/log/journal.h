/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal of systemd, as a place for lines: its native protocol, in datagrams
 * (https://systemd.io/JOURNAL_NATIVE_PROTOCOL). sd_journal_sendv() is not used: it waits for as
 * long as the journal does not read.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "entry.h"
#include "line.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
/* A message, and the fields beside it. */
#define JOURNAL_RECORD_MAX (3 * LOG_LINE_MAX)

/* Whether the descriptor is the stream that systemd connected to the journal, and not redirected
 * since: JOURNAL_STREAM names its device and inode. */
bool journal_is_stream(int fd);
/* A connected datagram socket; -1 with errno set. */
int journal_open(void);
/*
 * Makes the datagram of a line and of what it is about: MESSAGE, PRIORITY, SYSLOG_IDENTIFIER, then
 * SPLICED_EVENT, which is the entry's kind, and for each of its fields that is there SPLICED_ and
 * the key in capitals (`id` is SPLICED_SESSION). A value is as it came, with newlines and all;
 * where the datagram would be too long, the longest are cut and end in "...". Its length.
 */
size_t journal_format(int priority, const char *text, size_t len, const struct access_entry *e,
		      char out[JOURNAL_RECORD_MAX]);

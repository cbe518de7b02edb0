/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal of systemd, as a place for lines. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Whether the descriptor is the stream that systemd connected to the journal, and not redirected
 * since: JOURNAL_STREAM names its device and inode. */
bool journal_is_stream(int fd);
/* Writes a line by the journal's own protocol. 0 or a negative errno. */
int journal_write(int priority, const char *text, size_t len);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A text in memory that several processes have, by copies of one descriptor (a file without a
 * name). One process at a time writes it. It is replaced as a whole: whoever reads it, at whatever
 * moment and also if the writer died in the midst of that, gets the last one that was complete.
 */
#pragma once

#include <stddef.h>

/* The longest text. */
#define SLATE_MAX (64u << 20)

/* Without a text. Close-on-exec, the caller's to close. Or a negative errno. */
int slate_new(void);
/* Replaces the text, of 1 to SLATE_MAX bytes. 0, or a negative errno: the one before is there. */
int slate_write(int fd, const char *text, size_t len);
/* The text, followed by a zero byte, the caller's to free. 0; -ENODATA: there is none; -EBADMSG:
 * this is no such file; or another negative errno. */
int slate_read(int fd, char **ret);

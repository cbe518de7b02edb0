/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asking a daemon over its control socket. */
#pragma once

#include <stddef.h>

/*
 * Sends the command and reads the answer up to its end, within ten seconds. The caller owns *buf,
 * which is NULL at first, even on failure; 0 or a negative errno, which is explained on stderr.
 */
int ask(const char *path, const char *command, char **buf, size_t *ret_len);

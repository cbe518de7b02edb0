/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asking a daemon over its control socket. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* Room for what a parent process passes on of a program that it has tried. */
#define ASK_WHY_MAX 1280

/*
 * Sends the command and reads the answer up to its end, within ten seconds (an upgrade: 130): JSON,
 * which the caller owns. NULL: there is none, or it says that the daemon could not; `why` has a
 * line about that.
 */
json_t *ask(const char *path, const char *command, char why[ASK_WHY_MAX]);

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>

struct config;
struct link;

/* The worker process's whole life with this configuration and this link to its parent, both of
 * which it takes, and an enum splice_debug. The exit code: 0, or 1 after a failure that was logged.
 */
int run_daemon(struct config *config, uint32_t debug, struct link *link);

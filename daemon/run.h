/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>

struct config;

/* The daemon's whole life with this configuration, which it takes, and an enum splice_debug. The
 * exit code: 0, or 1 after a failure that was logged. */
int run_daemon(struct config *config, uint32_t debug);

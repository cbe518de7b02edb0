/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a check sends to a server. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct pool_config;

/* The longest: a PROXY header, and a request with the longest path and host. */
#define QUESTION_MAX 2048

/* Writes it into QUESTION_MAX bytes: its length, 0 where a connection says enough. `text` is the
 * server's address as it is written. */
size_t question_build(uint8_t *buf, const struct pool_config *pool, const char *text);

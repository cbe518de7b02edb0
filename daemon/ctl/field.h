/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fields of a JSON object, and numbers for people. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* What is missing or of another type has a value all the same: "-", 0. */
const char *text_of(const json_t *object, const char *key);
int64_t int_of(const json_t *object, const char *key);

/* "1.5 MiB", "3m05s"; they return buf. */
const char *format_bytes(int64_t n, char *buf, size_t size);
const char *format_age(int64_t ms, char *buf, size_t size);
/* What the daemon is about, of its status: "running", "draining", "ending, drains in 3.2s". */
const char *format_state(const json_t *status, char *buf, size_t size);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What names may look like. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* [A-Za-z0-9_.-]{1,63} */
bool name_is_valid(const char *name);
#define NAME_ALLOWED "1 to 63 letters, digits, '_', '.' or '-'"

/*
 * Letters, digits, '_' and '-' in labels, and perhaps a dot at the end. *numeric: the last label
 * is a number, so this is or was meant to be an IPv4 address.
 */
bool host_is_valid(const char *host, size_t len, bool *numeric);

/* What HTTP calls a token, of 1 to `max` bytes. */
#define TOKEN_MAX 63
bool token_is_valid(const char *text, size_t max);

/* The longest target of a request that an option may have. */
#define TARGET_MAX 1024

/* HOST, HOST:PORT, or an address with a port or without; IPv6 in brackets. */
bool host_port_is_valid(const char *text);

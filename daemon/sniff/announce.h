/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PROXY header a server is told about the client with (send_proxy). */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct session;

/* Room for either version with every TLV. */
#define PROXY_HEADER_MAX 4096

/*
 * Writes the header that the session's pool wants its servers to get: the client's address (the one
 * a PROXY header that came in has named), where it connected to, what was sniffed, and what else
 * that header said. Returns its length; 0: the pool wants none.
 */
size_t proxy_announce(const struct session *s, uint8_t *buf, size_t size);
/* Puts it in front of what is pending for the server. 0 or -ENOMEM. */
int proxy_announce_first(struct session *s);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ClientHello that every server of TLS 1.0 to 1.3 can answer with a ServerHello. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CLIENT_HELLO_MAX 512

/*
 * Writes the record for a server of this name ("": none is said): its length. `size` is at least
 * CLIENT_HELLO_MAX; the name is one of host_is_valid(). It has no key share: a server of TLS 1.3
 * asks for one (HelloRetryRequest), which costs it no signature.
 */
size_t client_hello_build(uint8_t *buf, size_t size, const char *name);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The header of the PROXY protocol, versions 1 and 2: read and written. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../addr.h"
#include "accept.h"

enum proxy_command {
	PROXY_LOCAL, /* the proxy's own connection, a health check say: its real addresses count */
	PROXY_PROXIED, /* on behalf of src */
};

struct proxy_header {
	enum proxy_command command;
	uint8_t version;      /* that was read */
	struct addr src, dst; /* len 0: not told */
	char authority[256];  /* PP2_TYPE_AUTHORITY, "": none */
	char alpn[256];       /* PP2_TYPE_ALPN: one name */
	uint16_t alpn_len;
	uint8_t unique_id[128];
	uint8_t unique_id_len;
};

enum proxy_error {
	PROXY_OK,
	PROXY_MISSING,     /* it does not begin with a header of an accepted version */
	PROXY_TOO_LONG,    /* v1: no line end in 107 bytes; v2: more than PROXY_V2_MAX */
	PROXY_BAD_LINE,    /* v1: a word is wrong */
	PROXY_BAD_VERSION, /* v2: neither LOCAL nor PROXY of version 2 */
	PROXY_BAD_FAMILY,
	PROXY_BAD_LENGTH, /* v2: addresses or a TLV do not fit */
	PROXY_BAD_CHECKSUM,
	_PROXY_ERROR_MAX,
};
extern const char *const proxy_error_str[_PROXY_ERROR_MAX];

#define PROXY_V1_MAX 107
#define PROXY_V2_MAX 4096

/* > 0: the header's length. 0: more is needed. < 0: -enum proxy_error. */
int proxy_header_parse(const uint8_t *buf, size_t len, enum proxy_accept versions,
		       struct proxy_header *ret);
/* Whether these bytes are the beginning of a header of either version, as far as they go. */
bool proxy_header_starts(const uint8_t *buf, size_t len);

/*
 * Writes a header: LOCAL or UNKNOWN where src is not told; with IPv4 beside IPv6, both as IPv6; v1
 * knows no unix sockets (UNKNOWN). Returns its length; 0: it does not fit.
 */
size_t proxy_header_build(uint8_t *buf, size_t size, int version, const struct proxy_header *h);

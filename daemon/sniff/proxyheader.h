/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PROXY protocol, versions 1 (a line of text) and 2 (binary): what a proxy in front says of
 * the client, and what the daemon says of it to a server.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../addr.h"
#include "../config/accept.h"

#define PROXY_V1_MAX    107         /* the whole line, CRLF included */
#define PROXY_V2_MAX    (16 + 4096) /* the most that is read */
#define PROXY_BUILD_MAX 4096        /* what is built is no longer: some read no more */

enum proxy_command {
	PROXY_LOCAL,   /* the sender speaks for itself, say a health check */
	PROXY_PROXIED, /* for the client at src, unless that is unset */
};

struct proxy_header {
	enum proxy_command command;
	struct addr src, dst;   /* len 0: unknown, the connection's own ends count */
	char authority[256];    /* host name that the client asked for, as sent (UTF-8 if the sender
			       keeps to it, no blanks and control bytes); "": unknown */
	char alpn[256];         /* one name, raw bytes */
	uint16_t alpn_len;      /* 0: unknown */
	uint8_t unique_id[128]; /* the sender's id of the connection, raw bytes */
	uint8_t unique_id_len;  /* 0: none */
	uint8_t version;        /* 1 or 2 */
	bool checked;           /* v2: it has a checksum, which was right */
	/* Read: where in the header its TLVs are; 0 and 0: none, or not to be looked at. */
	uint16_t tlvs_at, tlvs_len;
	/* Written, of v2: TLVs as they are on the wire, after the ones above; not owned. */
	const uint8_t *more;
	uint16_t more_len;
};

enum proxy_error {
	PROXY_OK,
	PROXY_NO_HEADER,     /* the first bytes begin no header */
	PROXY_WRONG_VERSION, /* they begin one, of a version that is not accepted or not known */
	PROXY_LINE_TOO_LONG, /* v1: no CRLF within PROXY_V1_MAX bytes */
	PROXY_BAD_LINE,      /* v1: wrong number of fields, blanks or bytes out of place */
	PROXY_BAD_FAMILY,    /* other than unspecified, TCP over IPv4 or IPv6, unix stream (v2) */
	PROXY_BAD_ADDRESS,
	PROXY_BAD_PORT,
	PROXY_BAD_COMMAND, /* v2: neither LOCAL nor PROXY */
	PROXY_BAD_LENGTH,  /* v2: shorter than the family's addresses */
	PROXY_TOO_LARGE,   /* v2: longer than PROXY_V2_MAX */
	PROXY_BAD_TLV, /* v2: beyond the header's end, or a value of impossible length or bytes */
	PROXY_DUPLICATE_TLV, /* v2: of those that are read */
	PROXY_BAD_CRC,       /* v2 */
	_PROXY_ERROR_MAX,
};

extern const char *const proxy_error_str[_PROXY_ERROR_MAX];

/*
 * Reads the header at the beginning of a connection, of which buf holds all that has come. Returns
 *   > 0  its length; *ret is written;
 *     0  so far so good, but it needs more (never with PROXY_V2_MAX bytes or more);
 *   < 0  -enum proxy_error.
 * *ret is written on success only. The answer for a stream never changes once it is not 0,
 * whatever the pieces it came in. *scanned is how much of a line was looked at before, 0 at the
 * beginning: whatever the pieces, each byte of a header is looked at once.
 *
 * v1 UNKNOWN and v2 with an unspecified family are PROXY_PROXIED with both addresses unset. What
 * else is in them, and in a LOCAL header, is not looked at, as the protocol demands. Of TLVs, ALPN,
 * AUTHORITY and UNIQUE_ID are kept (an empty one is none), CRC32C is verified, all others are
 * passed over: see proxy_tlvs_of_others().
 */
int proxy_header_read(size_t *scanned, const uint8_t *buf, size_t len, enum proxy_accept versions,
		      struct proxy_header *ret);

/* The same of a stream that is read for the first time. */
int proxy_header_parse(const uint8_t *buf, size_t len, enum proxy_accept versions,
		       struct proxy_header *ret);

/* Could these first bytes (maybe none yet) be those of a header of either version? */
bool proxy_header_starts(const uint8_t *buf, size_t len);
/* Are they, for certain: a whole signature? Of less, other things begin, too: POST, an empty line.
 */
bool proxy_header_is(const uint8_t *buf, size_t len);

/*
 * Copies from the `len` bytes of TLVs of a header that was read those that are not of the daemon's
 * own making when it writes one: all but ALPN, AUTHORITY, UNIQUE_ID, CRC32C and the padding. What
 * PROXY says of the client's TLS (SSL) is among them. Returns how many bytes that are, at most
 * `len`; `ret` may be NULL.
 */
size_t proxy_tlvs_of_others(const uint8_t *tlvs, size_t len, uint8_t *ret);

/*
 * Writes the header of `version` (1 or 2) for h; h->version says nothing here. Returns its length,
 * or 0: it does not fit into size bytes (PROXY_BUILD_MAX is always enough). Of h->more, a TLV that
 * would make it longer than PROXY_BUILD_MAX is left out. With h->checked it has a checksum.
 *
 * Where src is unset or command is PROXY_LOCAL, v2 is a bare LOCAL header and v1 is UNKNOWN; so is
 * v1 for unix sockets. IPv4 and IPv6 mixed are written as IPv6 with a mapped address, two mapped
 * addresses as IPv4. A dst that is unset or of another kind than src is the unspecified address.
 */
size_t proxy_header_build(uint8_t *buf, size_t size, int version, const struct proxy_header *h);

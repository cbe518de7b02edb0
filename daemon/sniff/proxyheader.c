// SPDX-License-Identifier: GPL-2.0-or-later
#include "proxyheader.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

#include "proxywire.h"

const char *const proxy_error_str[_PROXY_ERROR_MAX] = {
    [PROXY_OK] = "ok",
    [PROXY_NO_HEADER] = "no_header",
    [PROXY_WRONG_VERSION] = "wrong_version",
    [PROXY_LINE_TOO_LONG] = "line_too_long",
    [PROXY_BAD_LINE] = "bad_line",
    [PROXY_BAD_FAMILY] = "bad_family",
    [PROXY_BAD_ADDRESS] = "bad_address",
    [PROXY_BAD_PORT] = "bad_port",
    [PROXY_BAD_COMMAND] = "bad_command",
    [PROXY_BAD_LENGTH] = "bad_length",
    [PROXY_TOO_LARGE] = "too_large",
    [PROXY_BAD_TLV] = "bad_tlv",
    [PROXY_DUPLICATE_TLV] = "duplicate_tlv",
    [PROXY_BAD_CRC] = "bad_crc",
};

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* ---- version 1, reading -------------------------------------------------------------------- */

/* The line's length with its CRLF; 0: it needs more; or an error. Nothing before *scanned is looked
 * at again. */
static int line_length(const uint8_t *buf, size_t len, size_t *scanned)
{
	size_t i;

	for (i = MAX(*scanned, V1_SIGNATURE_SIZE); i < MIN(len, PROXY_V1_MAX); i++) {
		*scanned = i;
		if (buf[i] == '\r' && i + 1 < PROXY_V1_MAX) {
			if (i + 1 == len)
				return 0;
			return buf[i + 1] == '\n' ? (int)(i + 2) : -PROXY_BAD_LINE;
		}
		if (buf[i] != '\r' && (buf[i] < ' ' || buf[i] > '~'))
			return -PROXY_BAD_LINE;
	}
	*scanned = i;
	return len < PROXY_V1_MAX ? 0 : -PROXY_LINE_TOO_LONG;
}

/* Digits only, and no zero in front: some would read that as octal. */
static int parse_port(const char *text, in_port_t *ret)
{
	unsigned int n = 0;

	if (!*text || (text[0] == '0' && text[1]))
		return -PROXY_BAD_PORT;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -PROXY_BAD_PORT;
		n = n * 10 + (unsigned int)(*text - '0');
		if (n > UINT16_MAX)
			return -PROXY_BAD_PORT;
	}
	*ret = htons((uint16_t)n);
	return 0;
}

static int parse_end(int family, const char *host, const char *port, struct addr *ret)
{
	if (family == AF_INET) {
		ret->len = sizeof(ret->in4);
		ret->in4.sin_family = AF_INET;
		if (inet_pton(AF_INET, host, &ret->in4.sin_addr) != 1)
			return -PROXY_BAD_ADDRESS;
		return parse_port(port, &ret->in4.sin_port);
	}

	ret->len = sizeof(ret->in6);
	ret->in6.sin6_family = AF_INET6;
	if (inet_pton(AF_INET6, host, &ret->in6.sin6_addr) != 1)
		return -PROXY_BAD_ADDRESS;
	return parse_port(port, &ret->in6.sin6_port);
}

/* What comes after the signature, without the CRLF: "TCP4 1.2.3.4 5.6.7.8 1000 80". */
static int parse_line(char *text, struct proxy_header *h)
{
	char *rest = text, *field[5];
	const char *word = strsep(&rest, " ");
	int err, family;

	if (strcmp(word, "UNKNOWN") == 0)
		return 0; /* and whatever the sender knows of it */
	if (strcmp(word, "TCP4") == 0)
		family = AF_INET;
	else if (strcmp(word, "TCP6") == 0)
		family = AF_INET6;
	else
		return -PROXY_BAD_FAMILY;

	for (size_t i = 0; i < 4; i++)
		if (!(field[i] = strsep(&rest, " ")) || !*field[i])
			return -PROXY_BAD_LINE;
	if (rest)
		return -PROXY_BAD_LINE;

	err = parse_end(family, field[0], field[2], &h->src);
	return err ? err : parse_end(family, field[1], field[3], &h->dst);
}

static int parse_v1(const uint8_t *buf, size_t len, size_t *scanned, struct proxy_header *h)
{
	char text[PROXY_V1_MAX];
	int err, length = line_length(buf, len, scanned);
	size_t n;

	if (length <= 0)
		return length;

	n = (size_t)length - V1_SIGNATURE_SIZE - 2;
	memcpy(text, buf + V1_SIGNATURE_SIZE, n);
	text[n] = '\0';

	h->version = 1;
	h->command = PROXY_PROXIED;
	err = parse_line(text, h);
	return err ? err : length;
}

/* ---- version 2, reading -------------------------------------------------------------------- */

/* CRC-32C, four bits at a time: headers are short and rarely carry one. */
uint32_t proxy_crc32c(uint32_t crc, const uint8_t *p, size_t n)
{
	static const uint32_t table[16] = {
	    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
	    0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	    0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	for (; n; p++, n--) {
		crc = table[(crc ^ *p) & 15] ^ crc >> 4;
		crc = table[(crc ^ *p >> 4) & 15] ^ crc >> 4;
	}
	return crc;
}

/* The checksum counts its own bytes, which are at `where`, as zeros. */
static int check_crc(const uint8_t *buf, size_t len, const uint8_t *where)
{
	static const uint8_t zeros[CRC_SIZE];
	const uint8_t *rest = where + CRC_SIZE;
	uint32_t want = (uint32_t)be16(where) << 16 | be16(where + 2), crc = UINT32_MAX;

	crc = proxy_crc32c(crc, buf, (size_t)(where - buf));
	crc = proxy_crc32c(crc, zeros, CRC_SIZE);
	crc = proxy_crc32c(crc, rest, len - (size_t)(rest - buf));
	return ~crc == want ? 0 : -PROXY_BAD_CRC;
}

/* It becomes a string, and goes into logs: neither NUL nor other control bytes nor blanks. */
static int parse_authority(const uint8_t *value, size_t n, struct proxy_header *h)
{
	if (n >= sizeof(h->authority))
		return -PROXY_BAD_TLV;
	for (size_t i = 0; i < n; i++)
		if (value[i] <= ' ' || value[i] == 0x7f)
			return -PROXY_BAD_TLV;
	memcpy(h->authority, value, n);
	return 0;
}

static int parse_tlv(uint8_t type, const uint8_t *value, size_t n, struct proxy_header *h)
{
	switch (type) {
	case TLV_ALPN:
		if (n > UINT8_MAX)
			return -PROXY_BAD_TLV;
		memcpy(h->alpn, value, n);
		h->alpn_len = (uint16_t)n;
		return 0;
	case TLV_AUTHORITY:
		return parse_authority(value, n, h);
	case TLV_CRC32C:
		return n == CRC_SIZE ? 0 : -PROXY_BAD_TLV;
	case TLV_UNIQUE_ID:
		if (n > sizeof(h->unique_id))
			return -PROXY_BAD_TLV;
		memcpy(h->unique_id, value, n);
		h->unique_id_len = (uint8_t)n;
		return 0;
	default:
		return 0;
	}
}

/* A bit for each type that is read: of two, nobody could say which one counts. */
static unsigned int tlv_bit(uint8_t type)
{
	switch (type) {
	case TLV_ALPN:
	case TLV_AUTHORITY:
	case TLV_CRC32C:
	case TLV_UNIQUE_ID:
		return 1u << type;
	default:
		return 0;
	}
}

/* The TLVs fill the header from `at` to its end exactly. */
static int parse_tlvs(const uint8_t *buf, size_t at, size_t len, struct proxy_header *h)
{
	const uint8_t *crc = NULL;
	unsigned int seen = 0;

	h->tlvs_at = (uint16_t)at;
	h->tlvs_len = (uint16_t)(len - at);

	while (at < len) {
		uint8_t type = buf[at];
		size_t n;
		int err;

		if (len - at < TLV_HEADER)
			return -PROXY_BAD_TLV;
		n = be16(buf + at + 1);
		at += TLV_HEADER;
		if (n > len - at)
			return -PROXY_BAD_TLV;
		if (seen & tlv_bit(type))
			return -PROXY_DUPLICATE_TLV;
		seen |= tlv_bit(type);

		err = parse_tlv(type, buf + at, n, h);
		if (err)
			return err;
		if (type == TLV_CRC32C)
			crc = buf + at;
		at += n;
	}
	h->checked = crc;
	return crc ? check_crc(buf, len, crc) : 0;
}

/* What the daemon writes itself, if it is to be there. */
static bool is_own(uint8_t type)
{
	return tlv_bit(type) || type == TLV_NOOP;
}

size_t proxy_tlvs_of_others(const uint8_t *tlvs, size_t len, uint8_t *ret)
{
	size_t n = 0, size;

	for (size_t at = 0; len - at >= TLV_HEADER; at += size) {
		size = TLV_HEADER + (size_t)be16(tlvs + at + 1);
		if (size > len - at)
			break;
		if (is_own(tlvs[at]))
			continue;
		if (ret)
			memcpy(ret + n, tlvs + at, size);
		n += size;
	}
	return n;
}

static void get_in4(struct addr *a, const uint8_t *host, const uint8_t *port)
{
	a->len = sizeof(a->in4);
	a->in4.sin_family = AF_INET;
	memcpy(&a->in4.sin_addr, host, sizeof(a->in4.sin_addr));
	memcpy(&a->in4.sin_port, port, sizeof(a->in4.sin_port));
}

static void get_in6(struct addr *a, const uint8_t *host, const uint8_t *port)
{
	a->len = sizeof(a->in6);
	a->in6.sin6_family = AF_INET6;
	memcpy(&a->in6.sin6_addr, host, sizeof(a->in6.sin6_addr));
	memcpy(&a->in6.sin6_port, port, sizeof(a->in6.sin6_port));
}

/*
 * A path ends with a NUL, and what is behind that says nothing. An abstract name begins with one,
 * and nothing says where it ends: the zeros behind it are taken for padding. All zeros: unnamed.
 */
static int get_unix(struct addr *a, const uint8_t *path)
{
	size_t n = V2_UNIX_PATH;

	a->un.sun_family = AF_UNIX;
	if (path[0]) {
		n = strnlen((const char *)path, V2_UNIX_PATH);
		if (n == V2_UNIX_PATH)
			return -PROXY_BAD_ADDRESS;
		memcpy(a->un.sun_path, path, n++);
	} else {
		while (n && !path[n - 1])
			n--;
		memcpy(a->un.sun_path, path, n);
	}
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	return 0;
}

/* Only when all of the address block is there. */
static int parse_addresses(uint8_t family, const uint8_t *p, struct proxy_header *h)
{
	int err;

	switch (family) {
	case V2_TCP4:
		get_in4(&h->src, p, p + 8);
		get_in4(&h->dst, p + 4, p + 10);
		return 0;
	case V2_TCP6:
		get_in6(&h->src, p, p + 32);
		get_in6(&h->dst, p + 16, p + 34);
		return 0;
	case V2_UNIX:
		err = get_unix(&h->src, p);
		return err ? err : get_unix(&h->dst, p + V2_UNIX_PATH);
	default:
		return 0;
	}
}

/* Bytes that the addresses take, or an error. */
static int address_size(uint8_t family)
{
	switch (family) {
	case V2_UNSPEC:
		return 0;
	case V2_TCP4:
		return V2_TCP4_SIZE;
	case V2_TCP6:
		return V2_TCP6_SIZE;
	case V2_UNIX:
		return V2_UNIX_SIZE;
	default:
		return -PROXY_BAD_FAMILY;
	}
}

/*
 * The fixed part, byte by byte as they come. > 0: all of it is there, and the header with its
 * addresses and TLVs will be that long; 0: it needs more; or an error.
 */
static int parse_v2_head(const uint8_t *buf, size_t len, struct proxy_header *h)
{
	int addresses = 0;
	uint16_t n;

	if (len > 12) {
		if ((buf[12] & 0xf0) != V2_VERSION)
			return -PROXY_WRONG_VERSION;
		if ((buf[12] & 0x0f) > V2_PROXY)
			return -PROXY_BAD_COMMAND;
		h->command = (buf[12] & 0x0f) == V2_PROXY ? PROXY_PROXIED : PROXY_LOCAL;
	}
	if (len > 13 && h->command == PROXY_PROXIED) {
		addresses = address_size(buf[13]);
		if (addresses < 0)
			return addresses;
	}
	if (len < V2_HEADER)
		return 0;

	n = be16(buf + 14);
	if (n > PROXY_V2_MAX - V2_HEADER)
		return -PROXY_TOO_LARGE;
	return n < addresses ? -PROXY_BAD_LENGTH : V2_HEADER + n;
}

static int parse_v2(const uint8_t *buf, size_t len, struct proxy_header *h)
{
	int err, length = parse_v2_head(buf, len, h);

	if (length <= 0)
		return length;
	if (len < (size_t)length)
		return 0;

	h->version = 2;
	/* Nothing says what is in the header of such a family, nor where TLVs would begin. */
	if (h->command == PROXY_LOCAL || buf[13] == V2_UNSPEC)
		return length;
	err = parse_addresses(buf[13], buf + V2_HEADER, h);
	if (!err)
		err = parse_tlvs(buf, V2_HEADER + (size_t)address_size(buf[13]), (size_t)length, h);
	return err ? err : length;
}

/* ---- both ---------------------------------------------------------------------------------- */

static bool begins(const uint8_t *buf, size_t len, const char *signature, size_t size)
{
	return len == 0 || memcmp(buf, signature, MIN(len, size)) == 0;
}

int proxy_header_read(size_t *scanned, const uint8_t *buf, size_t len, enum proxy_accept versions,
		      struct proxy_header *ret)
{
	bool v1 = begins(buf, len, V1_SIGNATURE, V1_SIGNATURE_SIZE);
	bool v2 = begins(buf, len, V2_SIGNATURE, V2_SIGNATURE_SIZE);
	enum proxy_accept version = v1 ? PROXY_ACCEPT_V1 : PROXY_ACCEPT_V2;
	struct proxy_header h = {0};
	int length;

	if (!v1 && !v2)
		return -PROXY_NO_HEADER;
	/* Also where it could only be the version that is not accepted: for the right name. */
	if (len < (v1 ? V1_SIGNATURE_SIZE : V2_SIGNATURE_SIZE))
		return 0;
	if (versions != PROXY_ACCEPT_ANY && versions != version)
		return -PROXY_WRONG_VERSION;

	length = v1 ? parse_v1(buf, len, scanned, &h) : parse_v2(buf, len, &h);
	if (length > 0)
		*ret = h;
	return length;
}

int proxy_header_parse(const uint8_t *buf, size_t len, enum proxy_accept versions,
		       struct proxy_header *ret)
{
	size_t scanned = 0;

	return proxy_header_read(&scanned, buf, len, versions, ret);
}

bool proxy_header_starts(const uint8_t *buf, size_t len)
{
	return begins(buf, len, V1_SIGNATURE, V1_SIGNATURE_SIZE) ||
	       begins(buf, len, V2_SIGNATURE, V2_SIGNATURE_SIZE);
}

bool proxy_header_is(const uint8_t *buf, size_t len)
{
	return (len >= V1_SIGNATURE_SIZE && begins(buf, len, V1_SIGNATURE, V1_SIGNATURE_SIZE)) ||
	       (len >= V2_SIGNATURE_SIZE && begins(buf, len, V2_SIGNATURE, V2_SIGNATURE_SIZE));
}

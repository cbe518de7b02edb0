// SPDX-License-Identifier: GPL-2.0-or-later
#include "proxyheader.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define V2_HEADER 16

enum tlv {
	TLV_ALPN = 0x01,
	TLV_AUTHORITY = 0x02,
	TLV_CRC32C = 0x03,
	TLV_UNIQUE_ID = 0x05,
};

static const uint8_t v1_signature[] = "PROXY ";
static const uint8_t v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

const char *const proxy_error_str[_PROXY_ERROR_MAX] = {
    [PROXY_OK] = "ok",
    [PROXY_MISSING] = "missing",
    [PROXY_TOO_LONG] = "too_long",
    [PROXY_BAD_LINE] = "bad_line",
    [PROXY_BAD_VERSION] = "bad_version",
    [PROXY_BAD_FAMILY] = "bad_family",
    [PROXY_BAD_LENGTH] = "bad_length",
    [PROXY_BAD_CHECKSUM] = "bad_checksum",
};

static bool begins(const uint8_t *buf, size_t len, const uint8_t *signature, size_t n)
{
	return memcmp(buf, signature, len < n ? len : n) == 0;
}

static bool begins_v1(const uint8_t *buf, size_t len)
{
	return begins(buf, len, v1_signature, sizeof(v1_signature) - 1);
}

static bool begins_v2(const uint8_t *buf, size_t len)
{
	return begins(buf, len, v2_signature, sizeof(v2_signature));
}

bool proxy_header_starts(const uint8_t *buf, size_t len)
{
	return begins_v1(buf, len) || begins_v2(buf, len);
}

/* ---- version 1 -------------------------------------------------------------------------- */

static bool parse_port(const char *s, uint16_t *ret)
{
	unsigned int n = 0;

	if (!*s || strlen(s) > 5 || (s[0] == '0' && s[1]))
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		n = n * 10 + (unsigned int)(*s - '0');
	}
	*ret = (uint16_t)n;
	return n <= UINT16_MAX;
}

static bool parse_endpoint(const char *host, const char *port, int family, struct addr *ret)
{
	struct addr a = {.len = family == AF_INET ? sizeof(a.in4) : sizeof(a.in6)};
	uint16_t n;

	a.sa.sa_family = (sa_family_t)family;
	if (inet_pton(family, host,
		      family == AF_INET ? (void *)&a.in4.sin_addr : (void *)&a.in6.sin6_addr) !=
		1 ||
	    !parse_port(port, &n))
		return false;
	addr_set_port(&a, n);
	*ret = a;
	return true;
}

/* The line without its end: "PROXY TCP4 src dst sport dport", with one blank between. */
static enum proxy_error parse_line(char *line, struct proxy_header *h)
{
	char *words[6] = {0}, *rest = line;
	int n = 0, family;

	while (rest && n < 6)
		words[n++] = strsep(&rest, " ");
	if (n < 2)
		return PROXY_BAD_LINE;
	/* Whatever follows UNKNOWN is to be ignored. */
	if (strcmp(words[1], "UNKNOWN") == 0) {
		h->command = PROXY_LOCAL;
		return PROXY_OK;
	}
	if (strcmp(words[1], "TCP4") == 0)
		family = AF_INET;
	else if (strcmp(words[1], "TCP6") == 0)
		family = AF_INET6;
	else
		return PROXY_BAD_FAMILY;
	h->command = PROXY_PROXIED;
	if (n < 6 || rest || !parse_endpoint(words[2], words[4], family, &h->src) ||
	    !parse_endpoint(words[3], words[5], family, &h->dst))
		return PROXY_BAD_LINE;
	return PROXY_OK;
}

static int parse_v1(const uint8_t *buf, size_t len, struct proxy_header *h)
{
	char line[PROXY_V1_MAX + 1];
	const uint8_t *lf = memchr(buf, '\n', len < PROXY_V1_MAX ? len : PROXY_V1_MAX);
	const uint8_t *cr = memchr(buf, '\r', len < PROXY_V1_MAX ? len : PROXY_V1_MAX);
	enum proxy_error err;
	size_t n;

	if (cr && cr + 1 < buf + len && cr[1] != '\n')
		return -PROXY_BAD_LINE;
	if (!lf)
		return len >= PROXY_V1_MAX ? -PROXY_TOO_LONG : 0;
	n = (size_t)(lf - buf) + 1;
	if (n < 2 || buf[n - 2] != '\r' || memchr(buf, '\0', n))
		return -PROXY_BAD_LINE;
	memcpy(line, buf, n - 2);
	line[n - 2] = '\0';
	h->version = 1;
	err = parse_line(line, h);
	return err ? -(int)err : (int)n;
}

/* ---- version 2 -------------------------------------------------------------------------- */

/* CRC-32C (Castagnoli), bit by bit: headers are short, and few have one. */
static uint32_t crc32c(uint32_t crc, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
	}
	return crc;
}

/* Of the whole header, with the checksum's own four bytes as zeros. */
static bool checksum_holds(const uint8_t *buf, size_t len, size_t at)
{
	static const uint8_t zeros[4];
	uint32_t crc = crc32c(UINT32_MAX, buf, at), told;

	crc = crc32c(crc, zeros, sizeof(zeros));
	crc = ~crc32c(crc, buf + at + 4, len - at - 4);
	memcpy(&told, buf + at, sizeof(told));
	return ntohl(told) == crc;
}

static enum proxy_error use_tlv(const uint8_t *buf, size_t total, size_t at, uint8_t type,
				size_t len, struct proxy_header *h)
{
	const uint8_t *value = buf + at;

	switch (type) {
	case TLV_CRC32C:
		if (len != 4)
			return PROXY_BAD_LENGTH;
		return checksum_holds(buf, total, at) ? PROXY_OK : PROXY_BAD_CHECKSUM;
	case TLV_AUTHORITY:
		if (len >= sizeof(h->authority) || memchr(value, '\0', len))
			return PROXY_BAD_LENGTH;
		memcpy(h->authority, value, len);
		h->authority[len] = '\0';
		break;
	case TLV_ALPN:
		if (len > 255)
			return PROXY_BAD_LENGTH;
		memcpy(h->alpn, value, len);
		h->alpn_len = (uint16_t)len;
		break;
	case TLV_UNIQUE_ID:
		if (len > sizeof(h->unique_id))
			return PROXY_BAD_LENGTH;
		memcpy(h->unique_id, value, len);
		h->unique_id_len = (uint8_t)len;
		break;
	default:
		break; /* of no use here */
	}
	return PROXY_OK;
}

static enum proxy_error parse_tlvs(const uint8_t *buf, size_t total, size_t at,
				   struct proxy_header *h)
{
	while (at < total) {
		enum proxy_error err;
		size_t len;

		if (total - at < 3)
			return PROXY_BAD_LENGTH;
		len = (size_t)(buf[at + 1] << 8 | buf[at + 2]);
		if (len > total - at - 3)
			return PROXY_BAD_LENGTH;
		err = use_tlv(buf, total, at + 3, buf[at], len, h);
		if (err)
			return err;
		at += 3 + len;
	}
	return PROXY_OK;
}

static void set_in4(struct addr *a, const uint8_t *ip, const uint8_t *port)
{
	a->len = sizeof(a->in4);
	a->in4.sin_family = AF_INET;
	memcpy(&a->in4.sin_addr, ip, 4);
	memcpy(&a->in4.sin_port, port, 2);
}

static void set_in6(struct addr *a, const uint8_t *ip, const uint8_t *port)
{
	a->len = sizeof(a->in6);
	a->in6.sin6_family = AF_INET6;
	memcpy(&a->in6.sin6_addr, ip, 16);
	memcpy(&a->in6.sin6_port, port, 2);
}

/* 108 bytes; a name of the abstract space begins with a zero, a path ends before one. */
static void set_unix(struct addr *a, const uint8_t *path)
{
	size_t n = 108;

	a->un.sun_family = AF_UNIX;
	while (n && !path[n - 1])
		n--;
	memcpy(a->un.sun_path, path, n);
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (n < 108 && n && *path));
}

/* The addresses behind the fixed part. Returns how many bytes they take, or -error. */
static int parse_addresses(const uint8_t *b, uint8_t family, size_t len, struct proxy_header *h)
{
	switch (family) {
	case 0x00: /* AF_UNSPEC: the real addresses count */
		h->command = PROXY_LOCAL;
		return 0;
	case 0x11:
		if (len < 12)
			return -PROXY_BAD_LENGTH;
		set_in4(&h->src, b, b + 8);
		set_in4(&h->dst, b + 4, b + 10);
		return 12;
	case 0x21:
		if (len < 36)
			return -PROXY_BAD_LENGTH;
		set_in6(&h->src, b, b + 32);
		set_in6(&h->dst, b + 16, b + 34);
		return 36;
	case 0x31:
		if (len < 216)
			return -PROXY_BAD_LENGTH;
		set_unix(&h->src, b);
		set_unix(&h->dst, b + 108);
		return 216;
	default:
		return -PROXY_BAD_FAMILY;
	}
}

static int parse_v2(const uint8_t *buf, size_t len, struct proxy_header *h)
{
	size_t total;
	enum proxy_error err;
	int n = 0;

	if (len < V2_HEADER)
		return len > 12 && buf[12] >> 4 != 2 ? -PROXY_BAD_VERSION : 0;
	total = V2_HEADER + (size_t)(buf[14] << 8 | buf[15]);
	if (buf[12] != 0x20 && buf[12] != 0x21)
		return -PROXY_BAD_VERSION;
	if (total > PROXY_V2_MAX)
		return -PROXY_TOO_LONG;
	if (len < total)
		return 0;
	h->version = 2;
	h->command = buf[12] & 1 ? PROXY_PROXIED : PROXY_LOCAL;
	/* With LOCAL the family may be anything, and is not looked at. */
	if (h->command == PROXY_LOCAL)
		return (int)total;
	n = parse_addresses(buf + V2_HEADER, buf[13], total - V2_HEADER, h);
	if (n < 0)
		return n;
	if (h->command == PROXY_LOCAL)
		return (int)total;
	err = parse_tlvs(buf, total, V2_HEADER + (size_t)n, h);
	return err ? -(int)err : (int)total;
}

int proxy_header_parse(const uint8_t *buf, size_t len, enum proxy_accept versions,
		       struct proxy_header *ret)
{
	bool v1 = versions != PROXY_ACCEPT_V2 && begins_v1(buf, len);
	bool v2 = versions != PROXY_ACCEPT_V1 && begins_v2(buf, len);

	*ret = (struct proxy_header){0};
	if (versions == PROXY_ACCEPT_NO || (!v1 && !v2))
		return -PROXY_MISSING;
	if (v2)
		return len < sizeof(v2_signature) ? 0 : parse_v2(buf, len, ret);
	return len < sizeof(v1_signature) - 1 ? 0 : parse_v1(buf, len, ret);
}

/* ---- writing ---------------------------------------------------------------------------- */

/* Both addresses as IPv6 where one is; false: not both are of the internet. */
static bool same_family(const struct addr *from, struct addr *to, bool six)
{
	*to = *from;
	if (from->sa.sa_family == AF_INET6)
		return true;
	if (from->sa.sa_family != AF_INET)
		return false;
	if (!six)
		return true;
	*to = (struct addr){.len = sizeof(to->in6)};
	to->in6.sin6_family = AF_INET6;
	to->in6.sin6_port = from->in4.sin_port;
	to->in6.sin6_addr.s6_addr[10] = to->in6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&to->in6.sin6_addr.s6_addr[12], &from->in4.sin_addr, 4);
	return true;
}

/* A client of an IPv4 address that came in through an IPv6 socket is one of IPv4. */
static void unmap(struct addr *a)
{
	struct addr from = *a;

	if (!a->len || a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
		return;
	*a = (struct addr){.len = sizeof(a->in4)};
	a->in4.sin_family = AF_INET;
	a->in4.sin_port = from.in6.sin6_port;
	memcpy(&a->in4.sin_addr, &from.in6.sin6_addr.s6_addr[12], 4);
}

static bool is_inet(const struct addr *a)
{
	return a->len && (a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6);
}

/* 0: neither; else AF_INET or AF_INET6, with both addresses of that family. */
static int common_family(const struct proxy_header *h, struct addr *src, struct addr *dst)
{
	struct addr s = h->src, d = h->dst;
	bool six;

	unmap(&s);
	unmap(&d);
	if (!is_inet(&s) || !is_inet(&d))
		return 0;
	six = s.sa.sa_family == AF_INET6 || d.sa.sa_family == AF_INET6;
	if (!same_family(&s, src, six) || !same_family(&d, dst, six))
		return 0;
	return six ? AF_INET6 : AF_INET;
}

static const char *ip_text(const struct addr *a, char buf[INET6_ADDRSTRLEN])
{
	const void *ip = a->sa.sa_family == AF_INET ? (const void *)&a->in4.sin_addr
						    : (const void *)&a->in6.sin6_addr;

	return inet_ntop(a->sa.sa_family, ip, buf, INET6_ADDRSTRLEN);
}

static size_t build_v1(char *buf, size_t size, const struct proxy_header *h)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
	struct addr src, dst;
	int family = h->command == PROXY_PROXIED ? common_family(h, &src, &dst) : 0, n;

	if (!family)
		n = snprintf(buf, size, "PROXY UNKNOWN\r\n");
	else
		n = snprintf(buf, size, "PROXY %s %s %s %u %u\r\n",
			     family == AF_INET ? "TCP4" : "TCP6", ip_text(&src, from),
			     ip_text(&dst, to), addr_port(&src), addr_port(&dst));
	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

struct writer {
	uint8_t *at, *end;
	bool full;
};

static void put(struct writer *w, const void *data, size_t len)
{
	if ((size_t)(w->end - w->at) < len) {
		w->full = true;
		return;
	}
	memcpy(w->at, data, len);
	w->at += len;
}

static void put_tlv(struct writer *w, enum tlv type, const void *value, size_t len)
{
	const uint8_t head[3] = {(uint8_t)type, (uint8_t)(len >> 8), (uint8_t)len};

	if (!len)
		return;
	put(w, head, sizeof(head));
	put(w, value, len);
}

static void put_unix(struct writer *w, const struct addr *a)
{
	uint8_t path[108] = {0};
	size_t n = a->len > offsetof(struct sockaddr_un, sun_path)
		       ? a->len - offsetof(struct sockaddr_un, sun_path)
		       : 0;

	if (a->sa.sa_family == AF_UNIX)
		memcpy(path, a->un.sun_path, n < sizeof(path) ? n : sizeof(path));
	put(w, path, sizeof(path));
}

/* Returns the byte of family and protocol. */
static uint8_t put_addresses(struct writer *w, const struct proxy_header *h)
{
	struct addr src, dst;

	switch (common_family(h, &src, &dst)) {
	case AF_INET:
		put(w, &src.in4.sin_addr, 4);
		put(w, &dst.in4.sin_addr, 4);
		put(w, &src.in4.sin_port, 2);
		put(w, &dst.in4.sin_port, 2);
		return 0x11;
	case AF_INET6:
		put(w, &src.in6.sin6_addr, 16);
		put(w, &dst.in6.sin6_addr, 16);
		put(w, &src.in6.sin6_port, 2);
		put(w, &dst.in6.sin6_port, 2);
		return 0x21;
	default:
		break;
	}
	if (!h->src.len || h->src.sa.sa_family != AF_UNIX)
		return 0x00;
	put_unix(w, &h->src);
	put_unix(w, &h->dst);
	return 0x31;
}

static size_t build_v2(uint8_t *buf, size_t size, const struct proxy_header *h)
{
	struct writer w = {.at = buf, .end = buf + size};
	bool local = h->command == PROXY_LOCAL || !h->src.len;
	uint8_t fixed[4] = {local ? 0x20 : 0x21};
	size_t total;

	put(&w, v2_signature, sizeof(v2_signature));
	put(&w, fixed, sizeof(fixed));
	if (w.full)
		return 0;
	if (!local) {
		fixed[1] = put_addresses(&w, h);
		put_tlv(&w, TLV_ALPN, h->alpn, h->alpn_len);
		put_tlv(&w, TLV_AUTHORITY, h->authority, strlen(h->authority));
		put_tlv(&w, TLV_UNIQUE_ID, h->unique_id, h->unique_id_len);
	}
	total = (size_t)(w.at - buf);
	fixed[2] = (uint8_t)((total - V2_HEADER) >> 8);
	fixed[3] = (uint8_t)(total - V2_HEADER);
	memcpy(buf + sizeof(v2_signature), fixed, sizeof(fixed));
	return w.full ? 0 : total;
}

size_t proxy_header_build(uint8_t *buf, size_t size, int version, const struct proxy_header *h)
{
	return version == 1 ? build_v1((char *)buf, size, h) : build_v2(buf, size, h);
}

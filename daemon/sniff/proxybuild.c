// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "proxyheader.h"
#include "proxywire.h"

_Static_assert(sizeof(((struct sockaddr_un *)NULL)->sun_path) == V2_UNIX_PATH, "as on the wire");
_Static_assert(V2_HEADER + V2_UNIX_SIZE + 4 * TLV_HEADER + CRC_SIZE +
		       sizeof(((struct proxy_header *)NULL)->alpn) +
		       sizeof(((struct proxy_header *)NULL)->authority) +
		       sizeof(((struct proxy_header *)NULL)->unique_id) <=
		   PROXY_BUILD_MAX,
	       "any header fits");

static void put_be16(uint8_t *p, uint16_t n)
{
	p[0] = (uint8_t)(n >> 8);
	p[1] = (uint8_t)n;
}

/* Both ends as they are written: of one family, which is AF_UNSPEC where there is none to tell. */
struct ends {
	int family;
	struct addr src, dst;
};

static int addr_family(const struct addr *a)
{
	return a->len ? a->sa.sa_family : AF_UNSPEC;
}

static bool is_inet(const struct addr *a)
{
	return addr_family(a) == AF_INET || addr_family(a) == AF_INET6;
}

static bool is_mapped(const struct addr *a)
{
	return addr_family(a) == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr);
}

static void map(struct addr *a)
{
	struct addr mapped = {.len = sizeof(mapped.in6), .in6.sin6_family = AF_INET6};

	if (addr_family(a) != AF_INET)
		return;
	mapped.in6.sin6_port = a->in4.sin_port;
	mapped.in6.sin6_addr.s6_addr[10] = mapped.in6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(mapped.in6.sin6_addr.s6_addr + 12, &a->in4.sin_addr, sizeof(a->in4.sin_addr));
	*a = mapped;
}

static void unmap(struct addr *a)
{
	struct addr plain = {.len = sizeof(plain.in4), .in4.sin_family = AF_INET};

	if (!is_mapped(a))
		return;
	plain.in4.sin_port = a->in6.sin6_port;
	memcpy(&plain.in4.sin_addr, a->in6.sin6_addr.s6_addr + 12, sizeof(plain.in4.sin_addr));
	*a = plain;
}

/* The unspecified address of a's family: "0.0.0.0:0", "[::]:0", a unix socket without a name. */
static struct addr unspecified(const struct addr *a)
{
	struct addr none;

	memset(&none, 0, sizeof(none));
	none.len = addr_family(a) == AF_UNIX ? offsetof(struct sockaddr_un, sun_path) : a->len;
	none.sa.sa_family = a->sa.sa_family;
	return none;
}

static bool is_ipv4(const struct addr *a)
{
	return addr_family(a) == AF_INET || is_mapped(a);
}

/* src is IPv4 or IPv6: brings both ends to one of the two. */
static void align_inet(struct ends *e)
{
	if (!is_inet(&e->dst)) {
		unmap(&e->src);
		e->dst = unspecified(&e->src);
	} else if (is_ipv4(&e->src) && is_ipv4(&e->dst)) {
		unmap(&e->src);
		unmap(&e->dst);
	} else {
		map(&e->src);
		map(&e->dst);
	}
}

static struct ends choose_ends(const struct proxy_header *h)
{
	struct ends e = {.src = h->src, .dst = h->dst};

	if (h->command == PROXY_LOCAL)
		return e;
	if (is_inet(&e.src))
		align_inet(&e);
	else if (addr_family(&e.src) != AF_UNIX)
		return e;
	else if (addr_family(&e.dst) != AF_UNIX)
		e.dst = unspecified(&e.src);

	e.family = e.src.sa.sa_family;
	return e;
}

static size_t build_v1(uint8_t *buf, size_t size, const struct ends *e)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN], line[PROXY_V1_MAX + 1];
	const void *from = &e->src.in4.sin_addr, *to = &e->dst.in4.sin_addr;
	int n;

	if (e->family == AF_INET6) {
		from = &e->src.in6.sin6_addr;
		to = &e->dst.in6.sin6_addr;
	}
	if (e->family != AF_INET && e->family != AF_INET6)
		n = snprintf(line, sizeof(line), V1_SIGNATURE "UNKNOWN\r\n");
	else if (!inet_ntop(e->family, from, src, sizeof(src)) ||
		 !inet_ntop(e->family, to, dst, sizeof(dst)))
		return 0;
	else
		n = snprintf(line, sizeof(line), V1_SIGNATURE "TCP%c %s %s %u %u\r\n",
			     e->family == AF_INET ? '4' : '6', src, dst, addr_port(&e->src),
			     addr_port(&e->dst));

	if (n < 0 || (size_t)n >= sizeof(line) || (size_t)n > size)
		return 0;
	memcpy(buf, line, (size_t)n);
	return (size_t)n;
}

static void put_in4(uint8_t *p, const struct addr *src, const struct addr *dst)
{
	memcpy(p, &src->in4.sin_addr, 4);
	memcpy(p + 4, &dst->in4.sin_addr, 4);
	memcpy(p + 8, &src->in4.sin_port, 2);
	memcpy(p + 10, &dst->in4.sin_port, 2);
}

static void put_in6(uint8_t *p, const struct addr *src, const struct addr *dst)
{
	memcpy(p, &src->in6.sin6_addr, 16);
	memcpy(p + 16, &dst->in6.sin6_addr, 16);
	memcpy(p + 32, &src->in6.sin6_port, 2);
	memcpy(p + 34, &dst->in6.sin6_port, 2);
}

static void put_unix(uint8_t *p, const struct addr *a)
{
	size_t n = MIN(a->len - offsetof(struct sockaddr_un, sun_path), V2_UNIX_PATH);

	if (n && a->un.sun_path[0])
		n = strnlen(a->un.sun_path, n);
	memset(p, 0, V2_UNIX_PATH);
	memcpy(p, a->un.sun_path, n);
}

/* Writes family, length and addresses; returns where the TLVs begin. */
static size_t put_addresses(uint8_t *buf, const struct ends *e)
{
	uint8_t *p = buf + V2_HEADER;

	switch (e->family) {
	case AF_INET:
		buf[13] = V2_TCP4;
		put_in4(p, &e->src, &e->dst);
		return V2_HEADER + V2_TCP4_SIZE;
	case AF_INET6:
		buf[13] = V2_TCP6;
		put_in6(p, &e->src, &e->dst);
		return V2_HEADER + V2_TCP6_SIZE;
	case AF_UNIX:
		buf[13] = V2_UNIX;
		put_unix(p, &e->src);
		put_unix(p + V2_UNIX_PATH, &e->dst);
		return V2_HEADER + V2_UNIX_SIZE;
	default:
		buf[13] = V2_UNSPEC;
		return V2_HEADER;
	}
}

/* Appends one, unless it is empty. */
static size_t put_tlv(uint8_t *buf, size_t at, uint8_t type, const void *value, size_t n)
{
	if (!n)
		return at;
	buf[at] = type;
	put_be16(buf + at + 1, (uint16_t)n);
	memcpy(buf + at + TLV_HEADER, value, n);
	return at + TLV_HEADER + n;
}

/* Appends what others have said, as far as it fits together with a checksum. */
static size_t put_more(uint8_t *buf, size_t at, const uint8_t *more, size_t len)
{
	size_t most = PROXY_BUILD_MAX - TLV_HEADER - CRC_SIZE, size;

	for (size_t from = 0; len - from >= TLV_HEADER; from += size) {
		size = TLV_HEADER + (size_t)(more[from + 1] << 8 | more[from + 2]);
		if (size > len - from)
			break;
		if (size > most - at)
			continue;
		memcpy(buf + at, more + from, size);
		at += size;
	}
	return at;
}

/* Of a header that is complete but for its checksum; that counts its own bytes as zeros. */
static size_t put_crc(uint8_t *buf, size_t at)
{
	static const uint8_t zeros[CRC_SIZE];
	uint32_t crc;

	at = put_tlv(buf, at, TLV_CRC32C, zeros, sizeof(zeros));
	put_be16(buf + 14, (uint16_t)(at - V2_HEADER));
	crc = ~proxy_crc32c(UINT32_MAX, buf, at);
	put_be16(buf + at - 4, (uint16_t)(crc >> 16));
	put_be16(buf + at - 2, (uint16_t)crc);
	return at;
}

static size_t build_v2(uint8_t *buf, size_t size, const struct ends *e,
		       const struct proxy_header *h)
{
	uint8_t whole[PROXY_BUILD_MAX];
	bool local = e->family == AF_UNSPEC;
	size_t n;

	memcpy(whole, V2_SIGNATURE, V2_SIGNATURE_SIZE);
	whole[12] = V2_VERSION | (local ? V2_LOCAL : V2_PROXY);
	n = put_addresses(whole, e);
	if (!local) { /* a receiver skips what is in a LOCAL header */
		n = put_tlv(whole, n, TLV_ALPN, h->alpn, MIN(h->alpn_len, UINT8_MAX));
		n = put_tlv(whole, n, TLV_AUTHORITY, h->authority,
			    strnlen(h->authority, sizeof(h->authority) - 1));
		n = put_tlv(whole, n, TLV_UNIQUE_ID, h->unique_id,
			    MIN(h->unique_id_len, sizeof(h->unique_id)));
		n = put_more(whole, n, h->more, h->more_len);
	}
	put_be16(whole + 14, (uint16_t)(n - V2_HEADER));
	if (!local && h->checked)
		n = put_crc(whole, n);

	if (n > size)
		return 0;
	memcpy(buf, whole, n);
	return n;
}

size_t proxy_header_build(uint8_t *buf, size_t size, int version, const struct proxy_header *h)
{
	struct ends e = choose_ends(h);

	switch (version) {
	case 1:
		return build_v1(buf, size, &e);
	case 2:
		return build_v2(buf, size, &e, h);
	default:
		return 0;
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PROXY headers: the input as the stream; what was read is written again and read again. Input
 * that begins with 'B', which begins no header, fills a struct that a header is built of.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../daemon/sniff/proxyheader.h"

static void must(bool true_of_every_input)
{
	if (!true_of_every_input)
		abort();
}

/* In memory of just that size, so that a read beyond its end is seen. */
static int parse(const uint8_t *bytes, size_t len, enum proxy_accept versions,
		 struct proxy_header *ret)
{
	uint8_t *copy = malloc(len);
	int r;

	must(copy || len == 0);
	if (len)
		memcpy(copy, bytes, len);
	memset(ret, 0, sizeof(*ret));
	r = proxy_header_parse(copy, len, versions, ret);
	free(copy);
	return r;
}

static bool same_addr(const struct addr *a, const struct addr *b)
{
	return a->len == b->len && (!a->len || memcmp(&a->sa, &b->sa, a->len) == 0);
}

static bool same_tlvs(const struct proxy_header *a, const struct proxy_header *b)
{
	return strcmp(a->authority, b->authority) == 0 && a->alpn_len == b->alpn_len &&
	       memcmp(a->alpn, b->alpn, a->alpn_len) == 0 && a->unique_id_len == b->unique_id_len &&
	       memcmp(a->unique_id, b->unique_id, a->unique_id_len) == 0;
}

static bool same(const struct proxy_header *a, const struct proxy_header *b)
{
	return a->command == b->command && a->version == b->version &&
	       same_addr(&a->src, &b->src) && same_addr(&a->dst, &b->dst) && same_tlvs(a, b);
}

static void check_addr(const struct addr *a)
{
	if (!a->len)
		return;
	must(a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6 ||
	     a->sa.sa_family == AF_UNIX);
	if (a->sa.sa_family == AF_INET)
		must(a->len == sizeof(a->in4));
	else if (a->sa.sa_family == AF_INET6)
		must(a->len == sizeof(a->in6) && !a->in6.sin6_scope_id);
	else
		must(a->len >= offsetof(struct sockaddr_un, sun_path) && a->len <= sizeof(a->un));
}

static void check_header(const struct proxy_header *h)
{
	must(h->version == 1 || h->version == 2);
	must(h->command == PROXY_PROXIED || (!h->src.len && !h->dst.len));
	check_addr(&h->src);
	check_addr(&h->dst);
	must(memchr(h->authority, '\0', sizeof(h->authority)));
	must(h->alpn_len < sizeof(h->alpn) && h->unique_id_len <= sizeof(h->unique_id));
}

/* Writes h; what is read of that is written as the same bytes, and a byte less is refused. */
static void check_build(const struct proxy_header *h, int version, struct proxy_header *ret)
{
	uint8_t first[PROXY_BUILD_MAX], second[PROXY_BUILD_MAX];
	size_t n = proxy_header_build(first, sizeof(first), version, h);
	struct proxy_header again;

	must(n > 0 && n <= sizeof(first) && (version == 2 || n <= PROXY_V1_MAX));
	must(parse(first, n, version == 1 ? PROXY_ACCEPT_V1 : PROXY_ACCEPT_V2, ret) == (int)n);
	check_header(ret);
	must(ret->version == version);

	must(proxy_header_build(second, n, version, ret) == n);
	must(memcmp(first, second, n) == 0);
	must(proxy_header_build(second, n - 1, version, ret) == 0);
	must(parse(second, n, PROXY_ACCEPT_ANY, &again) == (int)n && same(ret, &again));
}

static bool is_mapped(const struct addr *a)
{
	return a->len && a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr);
}

/* Is it written as it is? Both ends are there, of one family, and none is IPv4 in disguise. */
static bool is_plain(const struct proxy_header *h)
{
	return h->command == PROXY_PROXIED && h->src.len && h->dst.len &&
	       h->src.sa.sa_family == h->dst.sa.sa_family && !is_mapped(&h->src) &&
	       !is_mapped(&h->dst);
}

/* What others have said is the same behind the daemon, as far as it fits. */
static void check_more(const uint8_t *bytes, const struct proxy_header *read)
{
	uint8_t more[PROXY_V2_MAX], again[PROXY_V2_MAX], out[PROXY_BUILD_MAX];
	struct proxy_header h = *read, back;
	size_t n;

	n = proxy_tlvs_of_others(bytes + h.tlvs_at, h.tlvs_len, more);
	must(n <= h.tlvs_len && n == proxy_tlvs_of_others(bytes + h.tlvs_at, h.tlvs_len, NULL));
	must(proxy_tlvs_of_others(more, n, again) == n && memcmp(more, again, n) == 0);
	h.more = more;
	h.more_len = (uint16_t)n;
	must(proxy_header_build(out, sizeof(out), 1, &h) > 0);
	n = proxy_header_build(out, sizeof(out), 2, &h);
	must(n > 0 && parse(out, n, PROXY_ACCEPT_V2, &back) == (int)n);
	if (back.command == PROXY_LOCAL)
		return;
	must(back.checked == h.checked);
	n = proxy_tlvs_of_others(out + back.tlvs_at, back.tlvs_len, again);
	must(n <= h.more_len);
	if (h.more_len < PROXY_BUILD_MAX - 1024)
		must(n == h.more_len && memcmp(more, again, n) == 0);
}

static void check_builds(const struct proxy_header *h)
{
	struct proxy_header v1, v2;

	check_build(h, 1, &v1);
	check_build(h, 2, &v2);
	must(same_tlvs(h, &v2) || v2.command == PROXY_LOCAL);
	if (!is_plain(h))
		return;
	must(same_addr(&h->src, &v2.src) && same_addr(&h->dst, &v2.dst));
	if (h->src.sa.sa_family != AF_UNIX)
		must(same_addr(&h->src, &v1.src) && same_addr(&h->dst, &v1.dst));
}

/* Parts of a stream say the same as all of it, or that they need more. Some parts: for speed. */
static void check_parts(const uint8_t *bytes, size_t len, enum proxy_accept versions, int whole)
{
	size_t step = 1 + len / 16;
	struct proxy_header h;

	for (size_t part = len % step; part < len; part += step) {
		int r = parse(bytes, part, versions, &h);

		if (whole > 0)
			must(r == (part < (size_t)whole ? 0 : whole));
		else
			must(r == 0 || r == whole);
	}
	if (whole > 0)
		must(parse(bytes, (size_t)whole - 1, versions, &h) == 0);
}

/* Read on in pieces, as they come: the same answer as of all at once. */
static void check_pieces(const uint8_t *bytes, size_t len, enum proxy_accept versions, int whole,
			 const struct proxy_header *h)
{
	size_t step = 1 + (len ? bytes[len - 1] : 0), part = 0, scanned = 0;
	struct proxy_header again = {0};
	int r = 0;

	while (r == 0 && part < len) {
		part = len - part < step ? len : part + step;
		r = proxy_header_read(&scanned, bytes, part, versions, &again);
		must(scanned <= part);
	}
	must(r == whole && same(&again, h));
}

static int check(const uint8_t *bytes, size_t len, enum proxy_accept versions,
		 struct proxy_header *ret)
{
	int r = parse(bytes, len, versions, ret);

	check_pieces(bytes, len, versions, r, ret);
	must(r > -(int)_PROXY_ERROR_MAX && (r < 0 || (size_t)r <= len) && r <= PROXY_V2_MAX);
	must(r != 0 || len < PROXY_V2_MAX);
	must(r > 0 || proxy_error_str[-r]);
	must(proxy_header_starts(bytes, len) == (r != -PROXY_NO_HEADER));
	must(!proxy_header_is(bytes, len) || proxy_header_starts(bytes, len));
	must(r <= 0 || proxy_header_is(bytes, len));
	check_parts(bytes, len, versions, r);
	return r;
}

static void check_stream(const uint8_t *bytes, size_t len)
{
	struct proxy_header any, one;
	int r = check(bytes, len, PROXY_ACCEPT_ANY, &any);

	must(check(bytes, len, PROXY_ACCEPT_NO, &one) <= 0);
	if (r <= 0)
		return;
	check_header(&any);
	check_more(bytes, &any);
	must(check(bytes, len, any.version == 1 ? PROXY_ACCEPT_V1 : PROXY_ACCEPT_V2, &one) == r);
	must(same(&any, &one));
	must(check(bytes, len, any.version == 1 ? PROXY_ACCEPT_V2 : PROXY_ACCEPT_V1, &one) ==
	     -PROXY_WRONG_VERSION);
	check_builds(&any);
}

/* ---- a struct of the input's bytes --------------------------------------------------------- */

struct input {
	const uint8_t *at;
	size_t left;
};

/* Bytes that are not there are zeros. */
static void take(struct input *in, void *dst, size_t n)
{
	size_t there = n < in->left ? n : in->left;

	memset(dst, 0, n);
	if (there)
		memcpy(dst, in->at, there);
	in->at += there;
	in->left -= there;
}

/* What the kernel would give for such a socket. */
static void make_addr(struct addr *a, uint8_t kind, const uint8_t bytes[16], const uint8_t port[2])
{
	memset(a, 0, sizeof(*a));
	switch (kind % 4) {
	case 1:
		a->len = sizeof(a->in4);
		a->in4.sin_family = AF_INET;
		memcpy(&a->in4.sin_addr, bytes, 4);
		memcpy(&a->in4.sin_port, port, 2);
		break;
	case 2:
		a->len = sizeof(a->in6);
		a->in6.sin6_family = AF_INET6;
		memcpy(&a->in6.sin6_addr, bytes, 16);
		memcpy(&a->in6.sin6_port, port, 2);
		break;
	case 3:
		a->un.sun_family = AF_UNIX;
		memcpy(a->un.sun_path, bytes, 16);
		if (bytes[0]) {
			a->len = (socklen_t)strlen(a->un.sun_path) + 1;
			memset(a->un.sun_path + a->len, 0, sizeof(a->un.sun_path) - a->len);
		}
		for (socklen_t i = 0; i < 16 && !bytes[0]; i++)
			if (bytes[i])
				a->len = i + 1;
		a->len += (socklen_t)offsetof(struct sockaddr_un, sun_path);
		break;
	default:
		break;
	}
}

static void check_struct(struct input in)
{
	uint8_t kinds[3], src[16], dst[16], ports[4], sizes[3];
	struct proxy_header h = {0};

	take(&in, kinds, sizeof(kinds));
	take(&in, src, sizeof(src));
	take(&in, dst, sizeof(dst));
	take(&in, ports, sizeof(ports));
	take(&in, sizes, sizeof(sizes));

	h.command = kinds[0] % 2 ? PROXY_PROXIED : PROXY_LOCAL;
	make_addr(&h.src, kinds[1], src, ports);
	make_addr(&h.dst, kinds[2], dst, ports + 2);
	h.alpn_len = sizes[0];
	take(&in, h.alpn, h.alpn_len);
	take(&in, h.authority, sizes[1]);
	for (size_t i = 0; i < sizes[1]; i++)
		if ((uint8_t)h.authority[i] <= ' ' || h.authority[i] == 0x7f)
			h.authority[i] = '-';
	h.unique_id_len = sizes[2] % (sizeof(h.unique_id) + 1);
	take(&in, h.unique_id, h.unique_id_len);
	check_builds(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	check_stream(data, len);
	if (len && data[0] == 'B')
		check_struct((struct input){.at = data + 1, .left = len - 1});
	return 0;
}

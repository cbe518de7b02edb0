/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PROXY headers, versions 1 and 2, read and written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../daemon/sniff/proxyheader.h"
#include "../../daemon/util.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* ---- what is parsed ------------------------------------------------------------------------ */

/* In memory of just that size, so that the sanitizers see a read beyond its end. */
static int parse(const void *bytes, size_t len, enum proxy_accept versions,
		 struct proxy_header *ret)
{
	_cleanup_free_ uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	return proxy_header_parse(copy, len, versions, ret);
}

/* A header that is sound: every prefix needs more, and what follows it changes nothing. */
static void assert_header(const void *bytes, size_t len, enum proxy_accept versions,
			  struct proxy_header *ret)
{
	struct proxy_header untouched = {.unique_id_len = 77};
	_cleanup_free_ uint8_t *more = malloc(len + 4);

	for (size_t part = 0; part < len; part++) {
		int r = parse(bytes, part, versions, &untouched);

		if (r != 0)
			fail_msg("%d with %zu of %zu bytes", r, part, len);
		assert_true(proxy_header_starts(bytes, part));
	}
	assert_int_equal(untouched.unique_id_len, 77);
	assert_int_equal(parse(bytes, len, versions, ret), len);

	assert_non_null(more);
	memcpy(more, bytes, len);
	memcpy(more + len, "\r\n\0P", 4);
	assert_int_equal(parse(more, len + 4, versions, ret), len);
}

/* An error that is certain with `certain` bytes: not before, and whatever follows. */
static void assert_error_at(const void *bytes, size_t len, size_t certain, enum proxy_error error)
{
	struct proxy_header h = {.unique_id_len = 77};

	for (size_t part = 0; part <= len; part++) {
		int r = parse(bytes, part, PROXY_ACCEPT_ANY, &h);

		if (r != (part < certain ? 0 : -(int)error))
			fail_msg("%d with %zu of %zu bytes (%s expected from %zu on)", r, part, len,
				 proxy_error_str[error], certain);
	}
	assert_int_equal(h.unique_id_len, 77);
}

static void assert_line_error(const char *line, enum proxy_error error)
{
	assert_error_at(line, strlen(line), strlen(line), error);
}

static void assert_addr(const struct addr *a, const char *expected)
{
	char text[ADDR_STR_MAX];

	assert_string_equal(addr_format(a, text), expected);
}

static void assert_line(const char *line, const char *src, const char *dst)
{
	struct proxy_header h;

	assert_header(line, strlen(line), PROXY_ACCEPT_V1, &h);
	assert_int_equal(h.version, 1);
	assert_int_equal(h.command, PROXY_PROXIED);
	assert_addr(&h.src, src);
	assert_addr(&h.dst, dst);
}

/* ---- version 1 ----------------------------------------------------------------------------- */

static void v1(void **state)
{
	(void)state;
	assert_line("PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n", "192.0.2.1:40000",
		    "198.51.100.2:443");
	assert_line("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "0.0.0.0:0",
		    "255.255.255.255:65535");
	assert_line("PROXY TCP6 2001:db8::1 ::ffff:192.0.2.7 1 2\r\n", "[2001:db8::1]:1",
		    "[::ffff:192.0.2.7]:2");
	assert_line("PROXY TCP6 2001:0DB8:0000:0000:0000:0000:0000:0001 :: 65535 65535\r\n",
		    "[2001:db8::1]:65535", "[::]:65535");
	assert_line("PROXY UNKNOWN\r\n", "-", "-");
	assert_line("PROXY UNKNOWN \r\n", "-", "-");
	assert_line("PROXY UNKNOWN 1.2.3.4 and more\r\n", "-", "-");
	/* The longest line of the protocol's text, 107 bytes. */
	assert_line("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		    "-", "-");
}

static void v1_too_long(void **state)
{
	char line[200];
	struct proxy_header h;

	(void)state;
	memset(line, ' ', sizeof(line));
	memcpy(line, "PROXY UNKNOWN", 13);
	assert_error_at(line, sizeof(line), PROXY_V1_MAX, PROXY_LINE_TOO_LONG);

	memcpy(line + PROXY_V1_MAX - 1, "\r\n", 2);
	assert_error_at(line, sizeof(line), PROXY_V1_MAX, PROXY_LINE_TOO_LONG);
	memcpy(line + PROXY_V1_MAX - 2, "\r\n", 2);
	assert_int_equal(parse(line, sizeof(line), PROXY_ACCEPT_V1, &h), PROXY_V1_MAX);
}

static void v1_bad_line(void **state)
{
	(void)state;
	assert_line_error("PROXY TCP4\r\n", PROXY_BAD_LINE);
	assert_line_error("PROXY TCP4 1.2.3.4\r\n", PROXY_BAD_LINE);
	assert_line_error("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", PROXY_BAD_LINE);
	assert_line_error("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", PROXY_BAD_LINE);
	assert_line_error("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", PROXY_BAD_LINE);
	assert_line_error("PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", PROXY_BAD_LINE);
	assert_line_error("PROXY TCP4 1.2.3.4 5.6.7.8  2\r\n", PROXY_BAD_LINE);

	/* The line's end, and bytes that no field can hold, are wrong at once. */
	assert_error_at("PROXY UNKNOWN\n\r\n", 16, 14, PROXY_BAD_LINE);
	assert_error_at("PROXY UNKNOWN\rGET", 17, 15, PROXY_BAD_LINE);
	assert_error_at("PROXY UNKNOWN\r\r\n", 16, 15, PROXY_BAD_LINE);
	assert_error_at("PROXY TCP4\t1.2.3.4 5.6.7.8 1 2\r\n", 32, 11, PROXY_BAD_LINE);
	assert_error_at("PROXY UNKNOWN \0\r\n", 17, 15, PROXY_BAD_LINE);
	assert_error_at("PROXY UNKNOWN \xc3\r\n", 17, 15, PROXY_BAD_LINE);
}

static void v1_bad_family(void **state)
{
	(void)state;
	assert_line_error("PROXY \r\n", PROXY_BAD_FAMILY);
	assert_line_error("PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n", PROXY_BAD_FAMILY);
	assert_line_error("PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", PROXY_BAD_FAMILY);
	assert_line_error("PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", PROXY_BAD_FAMILY);
	assert_line_error("PROXY TCP 1.2.3.4 5.6.7.8 1 2\r\n", PROXY_BAD_FAMILY);
	assert_line_error("PROXY TCP41 1.2.3.4 5.6.7.8 1 2\r\n", PROXY_BAD_FAMILY);
	assert_line_error("PROXY UNKNOWNS\r\n", PROXY_BAD_FAMILY);
}

static void v1_bad_address(void **state)
{
	static const char *const bad4[] = {"1.2.3",       "1.2.3.4.5", "1.2.3.256", "01.2.3.4",
					   "1.2.3.04",    "1.2.3.x",   "0x1.2.3.4", "::1",
					   "example.org", "1.2.3.-4",  "16909060"};
	static const char *const bad6[] = {"1.2.3.4", ":::",     "1::2::3",       "fe80::1%lo",
					   "[::1]",   "12345::", "1:2:3:4:5:6:7", "::g"};
	char line[PROXY_V1_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad4); i++) {
		(void)snprintf(line, sizeof(line), "PROXY TCP4 %s 5.6.7.8 1 2\r\n", bad4[i]);
		assert_line_error(line, PROXY_BAD_ADDRESS);
		(void)snprintf(line, sizeof(line), "PROXY TCP4 5.6.7.8 %s 1 2\r\n", bad4[i]);
		assert_line_error(line, PROXY_BAD_ADDRESS);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad6); i++) {
		(void)snprintf(line, sizeof(line), "PROXY TCP6 %s ::1 1 2\r\n", bad6[i]);
		assert_line_error(line, PROXY_BAD_ADDRESS);
	}
}

static void v1_bad_port(void **state)
{
	static const char *const bad[] = {
	    "65536", "00", "01", "-1", "+1", "1x", "0x10", "4294967297", "99999999999999999999"};
	char line[PROXY_V1_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		(void)snprintf(line, sizeof(line), "PROXY TCP4 1.2.3.4 5.6.7.8 %s 2\r\n", bad[i]);
		assert_line_error(line, PROXY_BAD_PORT);
		(void)snprintf(line, sizeof(line), "PROXY TCP6 ::1 ::2 1 %s\r\n", bad[i]);
		assert_line_error(line, PROXY_BAD_PORT);
	}
	assert_line_error("PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n", PROXY_BAD_LINE);
}

/* ---- version 2 ----------------------------------------------------------------------------- */

struct bytes {
	uint8_t data[8192];
	size_t len;
};

static void put(struct bytes *b, const void *data, size_t n)
{
	assert_true(n <= sizeof(b->data) - b->len);
	memcpy(b->data + b->len, data, n);
	b->len += n;
}

static void set_length(struct bytes *b, size_t n)
{
	b->data[14] = (uint8_t)(n >> 8);
	b->data[15] = (uint8_t)n;
}

/* Starts a header with these addresses; the length is right after every put_tlv(). */
static void put_head(struct bytes *b, uint8_t command, uint8_t family, const void *addresses,
		     size_t n)
{
	b->len = 0;
	put(b, SIGNATURE, 12);
	put(b, (const uint8_t[]){command, family, 0, 0}, 4);
	put(b, addresses, n);
	set_length(b, n);
}

static void put_tlv(struct bytes *b, uint8_t type, const void *value, size_t n)
{
	put(b, (const uint8_t[]){type, (uint8_t)(n >> 8), (uint8_t)n}, 3);
	put(b, value, n);
	set_length(b, b->len - 16);
}

#define TCP4 "\xc0\0\2\1\xc6\x33\x64\2\x9c\x40\1\xbb"

static void put_tcp4(struct bytes *b)
{
	put_head(b, 0x21, 0x11, TCP4, 12);
}

static void v2_tcp(void **state)
{
	static const uint8_t in6[36] = {0x20, 0x01,     0x0d, 0xb8, [15] = 1, [16] = 0xfe,
					0x80, [31] = 2, 0x12, 0x34, 0xff,     0xff};
	struct proxy_header h;
	struct bytes b;

	(void)state;
	put_tcp4(&b);
	assert_header(b.data, b.len, PROXY_ACCEPT_V2, &h);
	assert_int_equal(h.version, 2);
	assert_int_equal(h.command, PROXY_PROXIED);
	assert_addr(&h.src, "192.0.2.1:40000");
	assert_addr(&h.dst, "198.51.100.2:443");
	assert_int_equal(h.alpn_len, 0);
	assert_int_equal(h.unique_id_len, 0);
	assert_string_equal(h.authority, "");

	put_head(&b, 0x21, 0x21, in6, sizeof(in6));
	assert_header(b.data, b.len, PROXY_ACCEPT_ANY, &h);
	assert_addr(&h.src, "[2001:db8::1]:4660");
	assert_addr(&h.dst, "[fe80::2]:65535");
}

static void v2_unix(void **state)
{
	char paths[216] = "/run/client.sock";
	struct proxy_header h;
	struct bytes b;

	(void)state;
	memcpy(paths + 108, "\0hidden", 7);
	put_head(&b, 0x21, 0x31, paths, sizeof(paths));
	assert_header(b.data, b.len, PROXY_ACCEPT_V2, &h);
	assert_addr(&h.src, "unix:/run/client.sock");
	assert_int_equal(h.src.len, offsetof(struct sockaddr_un, sun_path) + 17);
	assert_addr(&h.dst, "unix:@hidden");
	assert_int_equal(h.dst.len, offsetof(struct sockaddr_un, sun_path) + 7);

	/* Behind a path's NUL there may be anything; an abstract name may be as long as that. */
	memcpy(paths, "/a\0junk", 7);
	memset(paths + 109, 'x', 107);
	put_head(&b, 0x21, 0x31, paths, sizeof(paths));
	assert_true(parse(b.data, b.len, PROXY_ACCEPT_V2, &h) > 0);
	assert_addr(&h.src, "unix:/a");
	assert_int_equal(h.dst.len, sizeof(struct sockaddr_un));

	memset(paths, 0, sizeof(paths));
	put_head(&b, 0x21, 0x31, paths, sizeof(paths));
	assert_true(parse(b.data, b.len, PROXY_ACCEPT_V2, &h) > 0);
	assert_addr(&h.src, "unix:");

	memset(paths, 'x', 108);
	put_head(&b, 0x21, 0x31, paths, sizeof(paths));
	assert_error_at(b.data, b.len, b.len, PROXY_BAD_ADDRESS);
}

static void v2_local(void **state)
{
	struct proxy_header h;
	struct bytes b;

	(void)state;
	put_head(&b, 0x20, 0x00, "", 0);
	assert_header(b.data, b.len, PROXY_ACCEPT_V2, &h);
	assert_int_equal(h.command, PROXY_LOCAL);
	assert_int_equal(h.src.len, 0);

	/* Nothing in it counts, whatever it is. */
	put_head(&b, 0x20, 0x11, TCP4, 12);
	put_tlv(&b, 2, "a.example", 9);
	assert_header(b.data, b.len, PROXY_ACCEPT_V2, &h);
	assert_int_equal(h.src.len, 0);
	assert_string_equal(h.authority, "");
	put_head(&b, 0x20, 0xff, "\2\xff\xff", 3);
	assert_header(b.data, b.len, PROXY_ACCEPT_V2, &h);
}

static void v2_unspecified(void **state)
{
	struct proxy_header h;
	struct bytes b;

	(void)state;
	put_head(&b, 0x21, 0x00, "", 0);
	assert_header(b.data, b.len, PROXY_ACCEPT_V2, &h);
	assert_int_equal(h.command, PROXY_PROXIED);
	assert_int_equal(h.src.len, 0);
	assert_int_equal(h.dst.len, 0);

	/* Addresses of a family that is not told, or TLVs. */
	put_head(&b, 0x21, 0x00, "\2\xff\xff", 3);
	assert_header(b.data, b.len, PROXY_ACCEPT_V2, &h);
	put_head(&b, 0x21, 0x00, "", 0);
	put_tlv(&b, 2, "a.example", 9);
	assert_header(b.data, b.len, PROXY_ACCEPT_V2, &h);
	assert_string_equal(h.authority, "");
}

static void v2_tlvs(void **state)
{
	uint8_t id[128];
	char name[255];
	struct proxy_header h;
	struct bytes b;

	(void)state;
	put_tcp4(&b);
	put_tlv(&b, 0x04, "\0\0\0", 3);
	put_tlv(&b, 0x01, "h2", 2);
	put_tlv(&b, 0x02, "WWW.example.org", 15);
	put_tlv(&b, 0x04, "", 0);
	put_tlv(&b, 0x05, "id\0\1", 4);
	put_tlv(&b, 0x20, "\1\0\0\0\0\x21\0\7TLSv1.3", 15);
	put_tlv(&b, 0xee, "whatever", 8);
	put_tlv(&b, 0xee, "twice", 5);
	assert_header(b.data, b.len, PROXY_ACCEPT_V2, &h);
	assert_int_equal(h.alpn_len, 2);
	assert_memory_equal(h.alpn, "h2", 2);
	assert_string_equal(h.authority, "WWW.example.org");
	assert_int_equal(h.unique_id_len, 4);
	assert_memory_equal(h.unique_id, "id\0\1", 4);

	/* The longest of each, and empty ones. */
	memset(id, 0xff, sizeof(id));
	memset(name, 'x', sizeof(name));
	put_tcp4(&b);
	put_tlv(&b, 0x01, name, 255);
	put_tlv(&b, 0x02, name, 255);
	put_tlv(&b, 0x05, id, 128);
	assert_header(b.data, b.len, PROXY_ACCEPT_V2, &h);
	assert_int_equal(h.alpn_len, 255);
	assert_int_equal(strlen(h.authority), 255);
	assert_int_equal(h.unique_id_len, 128);
	put_tcp4(&b);
	put_tlv(&b, 0x01, "", 0);
	put_tlv(&b, 0x02, "", 0);
	put_tlv(&b, 0x05, "", 0);
	assert_header(b.data, b.len, PROXY_ACCEPT_V2, &h);
	assert_int_equal(h.alpn_len, 0);
}

static void assert_tlv_error(uint8_t type, const void *value, size_t n, enum proxy_error error)
{
	struct bytes b;

	put_tcp4(&b);
	put_tlv(&b, type, value, n);
	assert_error_at(b.data, b.len, b.len, error);
}

static void v2_bad_tlv(void **state)
{
	char value[300];
	struct bytes b;

	(void)state;
	memset(value, 'x', sizeof(value));
	assert_tlv_error(0x01, value, 256, PROXY_BAD_TLV);
	assert_tlv_error(0x02, value, 256, PROXY_BAD_TLV);
	assert_tlv_error(0x05, value, 129, PROXY_BAD_TLV);
	assert_tlv_error(0x03, value, 3, PROXY_BAD_TLV);
	assert_tlv_error(0x03, value, 5, PROXY_BAD_TLV);
	assert_tlv_error(0x02, "a\0b", 3, PROXY_BAD_TLV);
	assert_tlv_error(0x02, "a b", 3, PROXY_BAD_TLV);
	assert_tlv_error(0x02, "a\n", 2, PROXY_BAD_TLV);
	assert_tlv_error(0x02, "\x7f", 1, PROXY_BAD_TLV);

	/* Beyond the header: by a byte, without a length, and although more bytes follow. */
	for (size_t cut = 1; cut < 5; cut++) {
		put_tcp4(&b);
		put_tlv(&b, 0xee, "ab", 2);
		set_length(&b, 17 - cut);
		assert_error_at(b.data, b.len, 33 - cut, PROXY_BAD_TLV);
	}
}

static void v2_duplicate_tlv(void **state)
{
	static const uint8_t types[] = {0x01, 0x02, 0x03, 0x05};
	struct bytes b;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		put_tcp4(&b);
		put_tlv(&b, types[i], "same", 4);
		put_tlv(&b, types[i], "same", 4);
		assert_error_at(b.data, b.len, b.len, PROXY_DUPLICATE_TLV);
	}
}

/* CRC-32C bit by bit, over all of the header with zeros in the checksum's place. */
static uint32_t plain_crc(const uint8_t *p, size_t n)
{
	uint32_t crc = UINT32_MAX;

	for (; n; p++, n--) {
		crc ^= *p;
		for (int i = 0; i < 8; i++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}
	return ~crc;
}

static void v2_crc(void **state)
{
	struct proxy_header h;
	struct bytes b;
	uint32_t crc;

	(void)state;
	assert_int_equal(plain_crc((const uint8_t *)"123456789", 9), 0xe3069283);

	put_tcp4(&b);
	put_tlv(&b, 0x01, "h2", 2);
	put_tlv(&b, 0x03, "\0\0\0\0", 4);
	put_tlv(&b, 0x02, "crc.example", 11);
	crc = plain_crc(b.data, b.len);
	for (int i = 0; i < 4; i++)
		b.data[16 + 12 + 5 + 3 + i] = (uint8_t)(crc >> (24 - 8 * i));
	assert_header(b.data, b.len, PROXY_ACCEPT_V2, &h);

	/* A bit anywhere else (the ports, a name), and one in the checksum. */
	for (size_t at = 24; at < b.len; at++) {
		bool framing =
		    (at >= 28 && at < 31) || (at >= 33 && at < 36) || (at >= 40 && at < 43);

		if (framing)
			continue;
		b.data[at] ^= 0x01;
		assert_int_equal(parse(b.data, b.len, PROXY_ACCEPT_V2, &h), -PROXY_BAD_CRC);
		b.data[at] ^= 0x01;
	}
	assert_tlv_error(0x03, "\0\0\0\0", 4, PROXY_BAD_CRC);
}

static void v2_bad_head(void **state)
{
	static const uint8_t families[] = {0x01, 0x10, 0x12, 0x13, 0x20, 0x22, 0x30, 0x32, 0x41};
	struct bytes b;

	(void)state;
	put_head(&b, 0x11, 0x11, TCP4, 12);
	assert_error_at(b.data, b.len, 13, PROXY_WRONG_VERSION);
	put_head(&b, 0x31, 0x11, TCP4, 12);
	assert_error_at(b.data, b.len, 13, PROXY_WRONG_VERSION);
	put_head(&b, 0x22, 0x11, TCP4, 12);
	assert_error_at(b.data, b.len, 13, PROXY_BAD_COMMAND);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		put_head(&b, 0x21, families[i], TCP4, 12);
		assert_error_at(b.data, b.len, 14, PROXY_BAD_FAMILY);
	}
}

static void v2_bad_length(void **state)
{
	static const struct {
		uint8_t family;
		size_t size;
	} kinds[] = {{0x11, 12}, {0x21, 36}, {0x31, 216}};
	struct bytes b;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char zeros[216] = "";

		put_head(&b, 0x21, kinds[i].family, zeros, kinds[i].size);
		set_length(&b, kinds[i].size - 1);
		assert_error_at(b.data, b.len, 16, PROXY_BAD_LENGTH);
	}
}

static void v2_too_large(void **state)
{
	static const char zeros[4096];
	struct proxy_header h;
	struct bytes b;

	(void)state;
	put_tcp4(&b);
	put_tlv(&b, 0x04, zeros, 4096 - 12 - 3);
	assert_int_equal(parse(b.data, b.len, PROXY_ACCEPT_V2, &h), PROXY_V2_MAX);

	put_tcp4(&b);
	set_length(&b, 4097);
	assert_error_at(b.data, b.len, 16, PROXY_TOO_LARGE);
	put_head(&b, 0x20, 0, "", 0);
	set_length(&b, 65535);
	assert_error_at(b.data, b.len, 16, PROXY_TOO_LARGE);
}

/* ---- which version, or none ---------------------------------------------------------------- */

static void no_header(void **state)
{
	(void)state;
	assert_error_at("GET / HTTP/1.1\r\n", 16, 1, PROXY_NO_HEADER);
	assert_error_at("\x16\3\1", 3, 1, PROXY_NO_HEADER);
	assert_error_at("POST / HTTP/1.1\r\n", 17, 2, PROXY_NO_HEADER);
	assert_error_at("PROPFIND / HTTP/1.1\r\n", 21, 4, PROXY_NO_HEADER);
	assert_error_at("PROXY\r\n", 7, 6, PROXY_NO_HEADER);
	assert_error_at("proxy UNKNOWN\r\n", 15, 1, PROXY_NO_HEADER);
	assert_error_at("\r\nGET", 5, 3, PROXY_NO_HEADER);
	assert_error_at("\r\n\r\n\0\r\nQUIT\r\n", 13, 12, PROXY_NO_HEADER);
}

static void wrong_version(void **state)
{
	static const char line[] = "PROXY UNKNOWN\r\n";
	struct proxy_header h;
	struct bytes b;

	(void)state;
	put_tcp4(&b);
	for (size_t n = 0; n < b.len; n++) {
		int expected = n < 12 ? 0 : -PROXY_WRONG_VERSION;

		assert_int_equal(parse(b.data, n, PROXY_ACCEPT_V1, &h), expected);
		assert_int_equal(parse(b.data, n, PROXY_ACCEPT_NO, &h), expected);
	}
	for (size_t n = 0; n < strlen(line); n++) {
		int expected = n < 6 ? 0 : -PROXY_WRONG_VERSION;

		assert_int_equal(parse(line, n, PROXY_ACCEPT_V2, &h), expected);
		assert_int_equal(parse(line, n, PROXY_ACCEPT_NO, &h), expected);
	}
}

static void starts(void **state)
{
	(void)state;
	assert_true(proxy_header_starts((const uint8_t *)"", 0));
	assert_true(proxy_header_starts(NULL, 0));
	assert_true(proxy_header_starts((const uint8_t *)"PROX", 4));
	assert_true(proxy_header_starts((const uint8_t *)"PROXY whatever", 14));
	assert_true(proxy_header_starts((const uint8_t *)SIGNATURE "\xff", 13));
	assert_false(proxy_header_starts((const uint8_t *)"PRI * HTTP/2.0", 14));
	assert_false(proxy_header_starts((const uint8_t *)"\r\n\r\n\r", 5));
}

static void error_names(void **state)
{
	(void)state;
	for (int i = 0; i < _PROXY_ERROR_MAX; i++) {
		assert_non_null(proxy_error_str[i]);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(proxy_error_str[i], proxy_error_str[k]);
	}
	assert_string_equal(proxy_error_str[PROXY_BAD_CRC], "bad_crc");
}

/* ---- writing ------------------------------------------------------------------------------- */

static struct proxy_header proxied(const char *src, const char *dst)
{
	struct proxy_header h = {.command = PROXY_PROXIED};
	const char *why;

	if (src)
		assert_int_equal(addr_parse(src, &h.src, &why), 0);
	if (dst)
		assert_int_equal(addr_parse(dst, &h.dst, &why), 0);
	return h;
}

static void assert_v1(const char *src, const char *dst, const char *expected)
{
	struct proxy_header h = proxied(src, dst);
	uint8_t buf[PROXY_V1_MAX];
	size_t n = proxy_header_build(buf, sizeof(buf), 1, &h);

	assert_int_equal(n, strlen(expected));
	assert_memory_equal(buf, expected, n);
	assert_int_equal(proxy_header_build(buf, n, 1, &h), n);
	assert_int_equal(proxy_header_build(buf, n - 1, 1, &h), 0);
}

static void build_v1(void **state)
{
	(void)state;
	assert_v1("192.0.2.1:40000", "198.51.100.2:443",
		  "PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n");
	assert_v1("[2001:db8::1]:1", "[::1]:65535", "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n");
	assert_v1("192.0.2.1:1", "[2001:db8::1]:2",
		  "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n");
	assert_v1("[2001:db8::1]:2", "192.0.2.1:1",
		  "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 2 1\r\n");
	assert_v1("[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2",
		  "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
	assert_v1("192.0.2.1:1", NULL, "PROXY TCP4 192.0.2.1 0.0.0.0 1 0\r\n");
	assert_v1("[2001:db8::1]:1", "unix:/a", "PROXY TCP6 2001:db8::1 :: 1 0\r\n");
	assert_v1("unix:/a", "unix:/b", "PROXY UNKNOWN\r\n");
	assert_v1(NULL, "192.0.2.1:1", "PROXY UNKNOWN\r\n");
	assert_v1("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		  "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n");
}

/* Writes as v2 and reads that again. */
static void rebuild(const struct proxy_header *h, struct proxy_header *ret)
{
	uint8_t buf[PROXY_BUILD_MAX];
	size_t n = proxy_header_build(buf, sizeof(buf), 2, h);

	assert_true(n > 0);
	assert_header(buf, n, PROXY_ACCEPT_V2, ret);
	for (size_t size = 0; size < n; size++)
		assert_int_equal(proxy_header_build(buf, size, 2, h), 0);
}

static void assert_v2(const char *src, const char *dst, const char *src_read, const char *dst_read)
{
	struct proxy_header h = proxied(src, dst), read;

	rebuild(&h, &read);
	assert_int_equal(read.command, src ? PROXY_PROXIED : PROXY_LOCAL);
	assert_addr(&read.src, src_read);
	assert_addr(&read.dst, dst_read);
}

static void build_v2(void **state)
{
	struct proxy_header h = proxied("192.0.2.1:40000", "198.51.100.2:443");
	uint8_t buf[PROXY_BUILD_MAX];

	(void)state;
	assert_int_equal(proxy_header_build(buf, sizeof(buf), 2, &h), 28);
	assert_memory_equal(buf, SIGNATURE "\x21\x11\0\x0c" TCP4, 28);

	assert_v2("192.0.2.1:1", "192.0.2.2:2", "192.0.2.1:1", "192.0.2.2:2");
	assert_v2("[2001:db8::1]:1", "[::1]:2", "[2001:db8::1]:1", "[::1]:2");
	assert_v2("192.0.2.1:1", "[::1]:2", "[::ffff:192.0.2.1]:1", "[::1]:2");
	assert_v2("[::1]:2", "192.0.2.1:1", "[::1]:2", "[::ffff:192.0.2.1]:1");
	assert_v2("[::ffff:192.0.2.1]:1", "192.0.2.2:2", "192.0.2.1:1", "192.0.2.2:2");
	assert_v2("[::ffff:192.0.2.1]:1", NULL, "192.0.2.1:1", "0.0.0.0:0");
	assert_v2("unix:/run/a", "unix:@b", "unix:/run/a", "unix:@b");
	assert_v2("unix:@a", "192.0.2.1:1", "unix:@a", "unix:");
	assert_v2(NULL, "192.0.2.1:1", "-", "-");
	assert_int_equal(proxy_header_build(buf, sizeof(buf), 3, &h), 0);
}

static void build_local(void **state)
{
	struct proxy_header h = proxied("192.0.2.1:1", "192.0.2.2:2");
	uint8_t buf[PROXY_BUILD_MAX];

	(void)state;
	h.command = PROXY_LOCAL;
	(void)strcpy(h.authority, "a.example");
	assert_int_equal(proxy_header_build(buf, sizeof(buf), 2, &h), 16);
	assert_memory_equal(buf, SIGNATURE "\x20\0\0\0", 16);
	assert_int_equal(proxy_header_build(buf, sizeof(buf), 1, &h), 15);
	assert_memory_equal(buf, "PROXY UNKNOWN\r\n", 15);
}

/* A unix client has no name as a rule; the family alone is all that accept() tells. */
static void build_unnamed(void **state)
{
	struct proxy_header h = proxied("unix:/a", "unix:/b"), read;

	(void)state;
	memset(&h.src, 0, sizeof(h.src));
	h.src.un.sun_family = AF_UNIX;
	h.src.len = sizeof(sa_family_t);
	rebuild(&h, &read);
	assert_addr(&read.src, "unix:");
	assert_addr(&read.dst, "unix:/b");
}

static void build_tlvs(void **state)
{
	struct proxy_header h = proxied("unix:/a", "unix:/b"), read;

	(void)state;
	memset(h.authority, 'x', 255);
	memset(h.alpn, 'y', 255);
	h.alpn_len = 255;
	memset(h.unique_id, 0, 128);
	h.unique_id_len = 128;
	rebuild(&h, &read);
	assert_string_equal(read.authority, h.authority);
	assert_int_equal(read.alpn_len, 255);
	assert_memory_equal(read.alpn, h.alpn, 255);
	assert_int_equal(read.unique_id_len, 128);
	assert_memory_equal(read.unique_id, h.unique_id, 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(v1),
	    cmocka_unit_test(v1_too_long),
	    cmocka_unit_test(v1_bad_line),
	    cmocka_unit_test(v1_bad_family),
	    cmocka_unit_test(v1_bad_address),
	    cmocka_unit_test(v1_bad_port),
	    cmocka_unit_test(v2_tcp),
	    cmocka_unit_test(v2_unix),
	    cmocka_unit_test(v2_local),
	    cmocka_unit_test(v2_unspecified),
	    cmocka_unit_test(v2_tlvs),
	    cmocka_unit_test(v2_bad_tlv),
	    cmocka_unit_test(v2_duplicate_tlv),
	    cmocka_unit_test(v2_crc),
	    cmocka_unit_test(v2_bad_head),
	    cmocka_unit_test(v2_bad_length),
	    cmocka_unit_test(v2_too_large),
	    cmocka_unit_test(no_header),
	    cmocka_unit_test(wrong_version),
	    cmocka_unit_test(starts),
	    cmocka_unit_test(error_names),
	    cmocka_unit_test(build_v1),
	    cmocka_unit_test(build_v2),
	    cmocka_unit_test(build_local),
	    cmocka_unit_test(build_unnamed),
	    cmocka_unit_test(build_tlvs),
	};

	return cmocka_run_group_tests_name("proxyheader", tests, NULL, NULL);
}

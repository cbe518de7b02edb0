/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first request of an HTTP/2 connection: real clients, every frame that may lead, every error.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <nghttp2/nghttp2.h>
#include <string.h>

#include "../../daemon/sniff/h2.h"
#include "../../daemon/util.h"

#define PREFACE      NGHTTP2_CLIENT_MAGIC
#define PREFACE_LEN  NGHTTP2_CLIENT_MAGIC_LEN
#define FRAME_HEADER 9
#define END_HEADERS  NGHTTP2_FLAG_END_HEADERS
#define FIELD(n, v)                                                                        \
	{                                                                                  \
		(uint8_t *)(n), (uint8_t *)(v), strlen(n), strlen(v), NGHTTP2_NV_FLAG_NONE \
	}
#define GET           FIELD(":method", "GET"), FIELD(":scheme", "http"), FIELD(":path", "/x")
#define GET_AUTHORITY GET, FIELD(":authority", "a.example")

/* What these clients sent to a server that says nothing. */
/* clang-format off */
static const uint8_t curl_bytes[] = {
	0x50, 0x52, 0x49, 0x20, 0x2a, 0x20, 0x48, 0x54, 0x54, 0x50, 0x2f, 0x32, 0x2e, 0x30, 0x0d,
	0x0a, 0x0d, 0x0a, 0x53, 0x4d, 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x00, 0x12, 0x04, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x64, 0x00, 0x04, 0x02, 0x00, 0x00, 0x00,
	0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x01, 0xff, 0x00, 0x01, 0x00, 0x00, 0x2c, 0x01, 0x05, 0x00, 0x00, 0x00, 0x01, 0x82, 0x04,
	0x87, 0x62, 0x62, 0xa7, 0xfc, 0x1c, 0x11, 0xff, 0x86, 0x41, 0x90, 0xf1, 0xe3, 0xc2, 0xf8,
	0x3c, 0x8e, 0x9a, 0xe8, 0x2a, 0xe7, 0xb2, 0x6b, 0x8d, 0x01, 0x97, 0xdf, 0x7a, 0x88, 0x25,
	0xb6, 0x50, 0xc3, 0xab, 0xbc, 0xf2, 0xe1, 0x53, 0x03, 0x2a, 0x2f, 0x2a,
};

static const uint8_t h2load_bytes[] = {
	0x50, 0x52, 0x49, 0x20, 0x2a, 0x20, 0x48, 0x54, 0x54, 0x50, 0x2f, 0x32, 0x2e, 0x30, 0x0d,
	0x0a, 0x0d, 0x0a, 0x53, 0x4d, 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x00, 0x0c, 0x04, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x3f, 0xff, 0xff, 0xff,
	0x00, 0x00, 0x04, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x3f, 0xff, 0x00, 0x00, 0x00, 0x00,
	0x26, 0x01, 0x05, 0x00, 0x00, 0x00, 0x01, 0x04, 0x84, 0x62, 0x83, 0x8e, 0x4f, 0x86, 0x41,
	0x8b, 0x08, 0x9d, 0x5c, 0x0b, 0x81, 0x70, 0xdc, 0x68, 0x2d, 0x3a, 0xff, 0x82, 0x7a, 0x8f,
	0x9c, 0x54, 0x1c, 0x72, 0x29, 0x54, 0xd3, 0xa5, 0x35, 0x89, 0x80, 0xae, 0xd8, 0x97, 0x07,
};

static const uint8_t nghttp_bytes[] = {
	0x50, 0x52, 0x49, 0x20, 0x2a, 0x20, 0x48, 0x54, 0x54, 0x50, 0x2f, 0x32, 0x2e, 0x30, 0x0d,
	0x0a, 0x0d, 0x0a, 0x53, 0x4d, 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x00, 0x0c, 0x04, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x64, 0x00, 0x04, 0x00, 0x00, 0xff, 0xff,
	0x00, 0x00, 0x05, 0x02, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0xc8, 0x00,
	0x00, 0x05, 0x02, 0x00, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x64, 0x00, 0x00,
	0x05, 0x02, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05,
	0x02, 0x00, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x05, 0x02,
	0x00, 0x00, 0x00, 0x00, 0x0b, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x2d, 0x01, 0x25,
	0x00, 0x00, 0x00, 0x0d, 0x00, 0x00, 0x00, 0x0b, 0x0f, 0x82, 0x04, 0x85, 0x62, 0xa9, 0xa7,
	0x4a, 0x6b, 0x86, 0x41, 0x8b, 0x08, 0x9d, 0x5c, 0x0b, 0x81, 0x70, 0xdc, 0x65, 0xf1, 0x3e,
	0xff, 0x53, 0x03, 0x2a, 0x2f, 0x2a, 0x90, 0x7a, 0x8a, 0xaa, 0x69, 0xd2, 0x9a, 0xc4, 0xc0,
	0x57, 0x6c, 0x4b, 0x83,
};
/* clang-format on */

/* ---- streams made here ---- */

struct stream {
	size_t len;
	uint8_t bytes[H2_BYTES_MAX + 65536];
};

struct block {
	size_t len;
	uint8_t bytes[H2_BYTES_MAX];
};

/* One of each, for the test that runs. */
static struct stream stream;
static struct block block;

static void add_bytes(const void *bytes, size_t len)
{
	assert_true(stream.len + len <= sizeof(stream.bytes));
	memcpy(stream.bytes + stream.len, bytes, len);
	stream.len += len;
}

static void add_frame_header(size_t len, uint8_t type, uint8_t flags, uint32_t id)
{
	const uint8_t header[FRAME_HEADER] = {
	    (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,       type,        flags,
	    (uint8_t)(id >> 24),  (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id,
	};

	add_bytes(header, sizeof(header));
}

static void add_frame(uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t len)
{
	add_frame_header(len, type, flags, id);
	add_bytes(payload, len);
}

/* The preface without, and with the SETTINGS that belong to it. */
static void begin_bare(void)
{
	stream.len = 0;
	add_bytes(PREFACE, PREFACE_LEN);
}

static void begin(void)
{
	begin_bare();
	add_frame(NGHTTP2_SETTINGS, 0, 0, "\0\3\0\0\0\x64", 6);
}

static void deflate(const nghttp2_nv *fields, size_t n)
{
	nghttp2_hd_deflater *hd;
	ssize_t len;

	assert_int_equal(nghttp2_hd_deflate_new(&hd, 4096), 0);
	len = nghttp2_hd_deflate_hd(hd, block.bytes, sizeof(block.bytes), fields, n);
	nghttp2_hd_deflate_del(hd);
	assert_true(len > 0);
	block.len = (size_t)len;
}

static void add_block(void)
{
	add_frame(NGHTTP2_HEADERS, END_HEADERS, 1, block.bytes, block.len);
}

/* ---- what is made of them ---- */

static int parse(struct h2_request *req)
{
	memset(req, 0x5a, sizeof(*req));
	return h2_request_parse(stream.bytes, stream.len, req);
}

/* The whole stream gives the error `want`; 0: it needs more. */
static void assert_result(int want)
{
	struct h2_request req, untouched;
	int r = parse(&req);

	memset(&untouched, 0x5a, sizeof(untouched));
	if (r != -want)
		fail_msg("%d (%s) instead of %s", r, r < 0 ? h2_error_str[-r] : "-",
			 h2_error_str[want]);
	assert_memory_equal(&req, &untouched, sizeof(req));
}

/* The whole stream is the head of a request and no less is; what comes after it changes nothing. */
static void assert_request(const char *method, const char *authority, const char *path)
{
	struct h2_request req;
	size_t len = stream.len;
	int r = parse(&req);

	if (r < 0)
		fail_msg("%s", h2_error_str[-r]);
	assert_int_equal(r, len);
	assert_string_equal(req.method, method);
	assert_string_equal(req.authority, authority);
	assert_string_equal(req.path, path);
	for (stream.len = 0; stream.len < len; stream.len++)
		assert_int_equal(parse(&req), 0);
	add_bytes("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10);
	assert_int_equal(parse(&req), len);
	stream.len = len;
}

static void assert_fields(int want, const nghttp2_nv *fields, size_t n)
{
	begin();
	deflate(fields, n);
	add_block();
	assert_result(want);
}

#define ASSERT_FIELDS(want, ...)                                   \
	do {                                                       \
		const nghttp2_nv fields_[] = {__VA_ARGS__};        \
		assert_fields(want, fields_, ARRAY_SIZE(fields_)); \
	} while (0)

#define DEFLATE(...)                                        \
	do {                                                \
		const nghttp2_nv fields_[] = {__VA_ARGS__}; \
		deflate(fields_, ARRAY_SIZE(fields_));      \
	} while (0)

static void assert_authority(const char *given, const char *want)
{
	begin();
	DEFLATE(GET, FIELD(":authority", given));
	add_block();
	assert_request("GET", want, "/x");
}

/* ---- tests ---- */

static void test_real_clients(void **state _unused_)
{
	stream.len = 0;
	add_bytes(curl_bytes, sizeof(curl_bytes));
	assert_request("GET", "www.example.org:40399", "/get?a=b");
	stream.len = 0;
	add_bytes(h2load_bytes, sizeof(h2load_bytes));
	assert_request("GET", "127.0.0.1:41479", "/load");
	stream.len = 0;
	add_bytes(nghttp_bytes, sizeof(nghttp_bytes));
	assert_request("GET", "127.0.0.1:39299", "/nghttp");
}

static void test_preface(void **state _unused_)
{
	static const uint8_t http1[] = "PRI * HTTP/1.1\r\n";

	for (size_t len = 0; len <= PREFACE_LEN; len++)
		assert_true(h2_preface_starts((const uint8_t *)PREFACE, len));
	assert_true(h2_preface_starts(curl_bytes, sizeof(curl_bytes)));
	assert_true(h2_preface_starts(http1, 11));
	assert_false(h2_preface_starts(http1, 12));
	assert_false(h2_preface_starts((const uint8_t *)"GET ", 1));

	/* Certain at the first byte that is another, and not before. */
	for (size_t len = 0; len < PREFACE_LEN; len++) {
		begin_bare();
		stream.bytes[len] ^= 1;
		stream.len = len;
		assert_result(0);
		stream.len = len + 1;
		assert_result(H2_NOT_H2);
	}
}

static void test_methods(void **state _unused_)
{
	char method[64] = "";

	begin();
	DEFLATE(FIELD(":method", "CONNECT"), FIELD(":authority", "db.example:5432"));
	add_block();
	assert_request("CONNECT", "db.example:5432", "");
	begin();
	DEFLATE(FIELD(":method", "OPTIONS"), FIELD(":scheme", "http"), FIELD(":path", "*"));
	add_block();
	assert_request("OPTIONS", "", "*");

	memset(method, 'M', 31);
	ASSERT_FIELDS(H2_BAD_PATH, FIELD(":method", method), FIELD(":scheme", "http"),
		      FIELD(":path", "*"));
	begin();
	DEFLATE(FIELD(":method", method), FIELD(":scheme", "http"), FIELD(":path", "/"));
	add_block();
	assert_request(method, "", "/");
	memset(method, 'M', 32);
	ASSERT_FIELDS(H2_BAD_METHOD, FIELD(":method", method), FIELD(":scheme", "http"),
		      FIELD(":path", "/"));
	ASSERT_FIELDS(H2_BAD_METHOD, FIELD(":method", ""), FIELD(":scheme", "http"),
		      FIELD(":path", "/"));
	ASSERT_FIELDS(H2_BAD_METHOD, FIELD(":method", "GE T"), FIELD(":scheme", "http"),
		      FIELD(":path", "/"));
}

static void test_authority(void **state _unused_)
{
	static const char *const bad[] = {
	    "",        "a b",      "u@a",  "a/b",         "a:b",       ":80",     "a:80:80",
	    "a:65536", "a:000080", "[::1", "[]",          "[::1]x",    "[::1]:x", "[::1 ]",
	    "[",       "a[b]",     "a\\b", "caf\xc3\xa9", "a?b",       "a#b",     "[::g!]",
	    "a..b",    ".a",       "..",   "a%2",         "[1.2.3.4]", "a.."};
	char name[300];

	assert_authority("WWW.Example.ORG", "www.example.org");
	assert_authority("a.example:8080", "a.example:8080");
	assert_authority("a.example:", "a.example:");
	assert_authority("a.example.", "a.example.");
	assert_authority("a=B!$&'()*+,;%41", "a=b!$&'()*+,;%41");
	assert_authority("[2001:DB8::1]:65535", "[2001:db8::1]:65535");
	assert_authority("[::ffff:10.0.0.1]", "[::ffff:10.0.0.1]");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ASSERT_FIELDS(H2_BAD_AUTHORITY, GET, FIELD(":authority", bad[i]));

	memset(name, 'a', sizeof(name));
	name[255] = '\0';
	assert_authority(name, name);
	name[255] = 'a';
	name[256] = '\0';
	ASSERT_FIELDS(H2_BAD_AUTHORITY, GET, FIELD(":authority", name));
}

static void test_host(void **state _unused_)
{
	begin();
	DEFLATE(GET, FIELD("accept", "*/*"), FIELD("host", "A.example"));
	add_block();
	assert_request("GET", "a.example", "/x");
	begin();
	DEFLATE(GET_AUTHORITY, FIELD("host", "A.EXAMPLE"));
	add_block();
	assert_request("GET", "a.example", "/x");
	begin();
	DEFLATE(GET);
	add_block();
	assert_request("GET", "", "/x");

	ASSERT_FIELDS(H2_TWO_HOSTS, GET_AUTHORITY, FIELD("host", "b.example"));
	ASSERT_FIELDS(H2_TWO_HOSTS, GET, FIELD("host", "a.example"), FIELD("host", "a.example"));
	ASSERT_FIELDS(H2_BAD_AUTHORITY, GET, FIELD("host", ""));
}

static void test_path(void **state _unused_)
{
	char path[3000];
	char cut[1024];

	memset(path, 'p', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	memcpy(cut, path, sizeof(cut));
	cut[sizeof(cut) - 1] = '\0';
	begin();
	DEFLATE(FIELD(":method", "GET"), FIELD(":scheme", "http"), FIELD(":path", path));
	add_block();
	assert_request("GET", "", cut);

	path[2000] = ' '; /* beyond what is kept, and still refused */
	ASSERT_FIELDS(H2_BAD_PATH, FIELD(":method", "GET"), FIELD(":scheme", "http"),
		      FIELD(":path", path));
	ASSERT_FIELDS(H2_BAD_PATH, FIELD(":method", "GET"), FIELD(":scheme", "http"),
		      FIELD(":path", ""));
	ASSERT_FIELDS(H2_BAD_PATH, FIELD(":method", "GET"), FIELD(":scheme", "http"),
		      FIELD(":path", "http://a/"));
}

static void test_pseudo_fields(void **state _unused_)
{
	ASSERT_FIELDS(H2_BAD_PSEUDO, GET, FIELD(":method", "GET"));
	ASSERT_FIELDS(H2_BAD_PSEUDO, GET, FIELD(":path", "/y"));
	ASSERT_FIELDS(H2_BAD_PSEUDO, GET, FIELD(":scheme", "http"));
	ASSERT_FIELDS(H2_BAD_PSEUDO, GET_AUTHORITY, FIELD(":authority", "a.example"));
	ASSERT_FIELDS(H2_BAD_PSEUDO, GET, FIELD("accept", "*/*"), FIELD(":authority", "a"));
	ASSERT_FIELDS(H2_BAD_PSEUDO, GET, FIELD(":status", "200"));
	ASSERT_FIELDS(H2_BAD_PSEUDO, GET, FIELD(":protocol", "websocket"));
	ASSERT_FIELDS(H2_BAD_PSEUDO, FIELD(":method", "GET"));
	ASSERT_FIELDS(H2_BAD_PSEUDO, FIELD(":method", "GET"), FIELD(":scheme", "http"));
	ASSERT_FIELDS(H2_BAD_PSEUDO, FIELD(":method", "GET"), FIELD(":path", "/"));
	ASSERT_FIELDS(H2_BAD_PSEUDO, FIELD(":scheme", "http"), FIELD(":path", "/"));
	ASSERT_FIELDS(H2_BAD_PSEUDO, FIELD(":method", "CONNECT"));
	ASSERT_FIELDS(H2_BAD_PSEUDO, FIELD(":method", "CONNECT"), FIELD(":authority", "a:1"),
		      FIELD(":path", "/"));
	ASSERT_FIELDS(H2_BAD_PSEUDO, FIELD("accept", "*/*"));
}

static void test_bad_fields(void **state _unused_)
{
	ASSERT_FIELDS(H2_BAD_FIELD, GET, FIELD("Accept", "*/*"));
	ASSERT_FIELDS(H2_BAD_FIELD, GET, FIELD("", "x"));
	ASSERT_FIELDS(H2_BAD_FIELD, GET, FIELD("a b", "x"));
	ASSERT_FIELDS(H2_BAD_FIELD, GET, FIELD("x", "a\r\nb: c"));
	ASSERT_FIELDS(H2_BAD_FIELD, FIELD(":path", "/\n"));
}

static void test_leading_frames(void **state _unused_)
{
	begin();
	add_frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "", 0);
	add_frame(NGHTTP2_SETTINGS, 0, 0, "", 0);
	add_frame(NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\x3f\0\0", 4);
	add_frame(NGHTTP2_PING, 0, 0, "12345678", 8);
	add_frame(NGHTTP2_PRIORITY, 0, 3, "\0\0\0\0\xc8", 5);
	add_frame(0x10, 0, 0, "\0\0\0\1u=3", 7); /* PRIORITY_UPDATE */
	add_frame(0xb7, 0xff, 99, "grease", 6);
	DEFLATE(GET_AUTHORITY);
	/* A reserved bit is nobody's business. */
	add_frame(NGHTTP2_HEADERS, END_HEADERS, 0x80000007, block.bytes, block.len);
	assert_request("GET", "a.example", "/x");
}

static void test_bad_frames(void **state _unused_)
{
	static const struct {
		int want;
		uint8_t type, flags;
		uint32_t id;
		size_t len;
	} cases[] = {
	    {H2_BAD_FRAME, NGHTTP2_SETTINGS, 0, 0, 5},
	    {H2_BAD_FRAME, NGHTTP2_SETTINGS, 0, 1, 6},
	    {H2_BAD_FRAME, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, 6},
	    {H2_BAD_FRAME, NGHTTP2_WINDOW_UPDATE, 0, 0, 3},
	    {H2_BAD_FRAME, NGHTTP2_WINDOW_UPDATE, 0, 1, 4},
	    {H2_BAD_FRAME, NGHTTP2_PING, 0, 0, 7},
	    {H2_BAD_FRAME, NGHTTP2_PING, 0, 1, 8},
	    {H2_BAD_FRAME, NGHTTP2_PRIORITY, 0, 3, 4},
	    {H2_BAD_FRAME, NGHTTP2_PRIORITY, 0, 0, 5},
	    {H2_BAD_FRAME, NGHTTP2_HEADERS, END_HEADERS, 0, 1},
	    {H2_BAD_FRAME, NGHTTP2_HEADERS, END_HEADERS, 2, 1},
	    {H2_BAD_FRAME, NGHTTP2_HEADERS, END_HEADERS, 1, 16385},
	    {H2_BAD_FRAME, 0x10, 0, 0, 16385},
	    {H2_UNEXPECTED_FRAME, NGHTTP2_DATA, 0, 1, 1},
	    {H2_UNEXPECTED_FRAME, NGHTTP2_RST_STREAM, 0, 1, 4},
	    {H2_UNEXPECTED_FRAME, NGHTTP2_PUSH_PROMISE, 0, 1, 4},
	    {H2_UNEXPECTED_FRAME, NGHTTP2_GOAWAY, 0, 0, 8},
	    {H2_UNEXPECTED_FRAME, NGHTTP2_CONTINUATION, END_HEADERS, 1, 1},
	};

	/* All are certain from the frame's header alone. */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin();
		add_frame_header(cases[i].len, cases[i].type, cases[i].flags, cases[i].id);
		assert_result(cases[i].want);
		stream.len--;
		assert_result(0);
	}
	begin();
	add_frame(NGHTTP2_WINDOW_UPDATE, 0, 0, "\x80\0\0\0", 4);
	assert_result(H2_BAD_FRAME);
}

static void test_first_frame_is_settings(void **state _unused_)
{
	begin_bare();
	add_frame(NGHTTP2_PING, 0, 0, "12345678", 8);
	assert_result(H2_UNEXPECTED_FRAME);
	begin_bare();
	add_frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "", 0);
	assert_result(H2_UNEXPECTED_FRAME);
	begin_bare();
	DEFLATE(GET_AUTHORITY);
	add_block();
	assert_result(H2_UNEXPECTED_FRAME);
}

static void test_padding_and_priority(void **state _unused_)
{
	const uint8_t flags = END_HEADERS | NGHTTP2_FLAG_PADDED | NGHTTP2_FLAG_PRIORITY;
	uint8_t padding[255] = {0};

	DEFLATE(GET_AUTHORITY);
	begin();
	add_frame_header(1 + 5 + block.len + 255, NGHTTP2_HEADERS, flags, 1);
	add_bytes("\xff\0\0\0\0\x10", 6);
	add_bytes(block.bytes, block.len);
	add_bytes(padding, sizeof(padding));
	assert_request("GET", "a.example", "/x");

	begin();
	add_frame(NGHTTP2_HEADERS, END_HEADERS | NGHTTP2_FLAG_PADDED, 1, "", 0);
	assert_result(H2_BAD_FRAME);
	begin();
	add_frame(NGHTTP2_HEADERS, END_HEADERS | NGHTTP2_FLAG_PRIORITY, 1, "1234", 4);
	assert_result(H2_BAD_FRAME);
	begin();
	add_frame(NGHTTP2_HEADERS, flags, 1, "\1\0\0\0\0\1", 6);
	assert_result(H2_BAD_FRAME);
	/* Padding that takes all is well formed; no field is left. */
	begin();
	add_frame(NGHTTP2_HEADERS, flags, 1, "\1\0\0\0\0\1\0", 7);
	assert_result(H2_BAD_PSEUDO);
}

static void test_continuation(void **state _unused_)
{
	DEFLATE(GET_AUTHORITY, FIELD("user-agent", "a unit test"));

	/* A byte of the block each; fields are cut everywhere. */
	begin();
	add_frame(NGHTTP2_HEADERS, 0, 5, block.bytes, 1);
	for (size_t i = 1; i < block.len; i++)
		add_frame(NGHTTP2_CONTINUATION, i + 1 == block.len ? END_HEADERS : 0, 5,
			  block.bytes + i, 1);
	assert_request("GET", "a.example", "/x");

	/* Empty at the front, in the middle, and at the end. */
	begin();
	add_frame(NGHTTP2_HEADERS, 0, 5, "", 0);
	add_frame(NGHTTP2_CONTINUATION, 0, 5, block.bytes, 7);
	add_frame(NGHTTP2_CONTINUATION, 0, 5, "", 0);
	add_frame(NGHTTP2_CONTINUATION, 0, 5, block.bytes + 7, block.len - 7);
	add_frame(NGHTTP2_CONTINUATION, END_HEADERS, 5, "", 0);
	assert_request("GET", "a.example", "/x");

	begin();
	add_frame(NGHTTP2_HEADERS, 0, 5, block.bytes, 7);
	add_frame_header(1, NGHTTP2_CONTINUATION, 0, 7);
	assert_result(H2_UNEXPECTED_FRAME);
	begin();
	add_frame(NGHTTP2_HEADERS, 0, 5, block.bytes, 7);
	add_frame_header(8, NGHTTP2_PING, 0, 0);
	assert_result(H2_UNEXPECTED_FRAME);
	begin();
	add_frame(NGHTTP2_HEADERS, 0, 5, block.bytes, 7);
	add_frame_header(8, 0xb7, 0, 0);
	assert_result(H2_UNEXPECTED_FRAME);
}

static void test_bad_hpack(void **state _unused_)
{
	/* An index that is not there, and a block that ends within a field. */
	begin();
	add_frame(NGHTTP2_HEADERS, END_HEADERS, 1, "\xff\xff\xff\x01", 4);
	assert_result(H2_BAD_HPACK);
	DEFLATE(GET_AUTHORITY);
	begin();
	add_frame(NGHTTP2_HEADERS, END_HEADERS, 1, block.bytes, block.len - 1);
	assert_result(H2_BAD_HPACK);
	/* A dynamic table larger than what is given by default. */
	begin();
	add_frame(NGHTTP2_HEADERS, END_HEADERS, 1, "\x3f\xe2\x1f\x82", 4);
	assert_result(H2_BAD_HPACK);
}

static void test_frames_are_bounded(void **state _unused_)
{
	DEFLATE(GET_AUTHORITY);
	begin();
	for (int i = 0; i < 62; i++)
		add_frame(NGHTTP2_PING, 0, 0, "12345678", 8);
	add_block();
	assert_request("GET", "a.example", "/x");
	begin();
	for (int i = 0; i < 63; i++)
		add_frame(NGHTTP2_PING, 0, 0, "12345678", 8);
	assert_result(H2_TOO_MANY_FRAMES);

	begin();
	add_frame(NGHTTP2_HEADERS, 0, 1, "", 0);
	for (int i = 0; i < 62; i++)
		add_frame(NGHTTP2_CONTINUATION, 0, 1, "", 0);
	assert_result(H2_TOO_MANY_FRAMES);
}

static void test_bytes_are_bounded(void **state _unused_)
{
	static const uint8_t filler[16384];

	/* Refused as soon as a frame's header says that it goes beyond. */
	begin();
	for (int i = 0; i < 3; i++)
		add_frame(0xb7, 0, 0, filler, sizeof(filler));
	add_frame_header(sizeof(filler), 0xb7, 0, 0);
	assert_result(H2_TOO_LARGE);

	/* Never "more" with all of it there, whatever the last frame's header is going to say. */
	begin();
	for (int i = 0; i < 3; i++)
		add_frame(0xb7, 0, 0, filler, sizeof(filler));
	add_frame(0xb7, 0, 0, filler, H2_BYTES_MAX - stream.len - FRAME_HEADER);
	assert_int_equal(stream.len, H2_BYTES_MAX);
	assert_result(H2_TOO_LARGE);
	stream.len--;
	assert_result(0);
}

/* One field that fits, referred to with a byte each: little on the wire, much when decoded. */
static void test_decoded_fields_are_bounded(void **state _unused_)
{
	char value[3000];

	memset(value, 'v', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	DEFLATE(GET, FIELD("bomb", value));
	for (int i = 0; i < 21; i++)
		block.bytes[block.len++] = 0x80 | 62;
	begin();
	add_block();
	assert_result(H2_TOO_LARGE);
	block.len -= 2;
	begin();
	add_block();
	assert_request("GET", "", "/x");
}

static void test_errors_have_names(void **state _unused_)
{
	for (size_t i = 0; i < _H2_ERROR_MAX; i++)
		assert_non_null(h2_error_str[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_real_clients),
	    cmocka_unit_test(test_preface),
	    cmocka_unit_test(test_methods),
	    cmocka_unit_test(test_authority),
	    cmocka_unit_test(test_host),
	    cmocka_unit_test(test_path),
	    cmocka_unit_test(test_pseudo_fields),
	    cmocka_unit_test(test_bad_fields),
	    cmocka_unit_test(test_leading_frames),
	    cmocka_unit_test(test_bad_frames),
	    cmocka_unit_test(test_first_frame_is_settings),
	    cmocka_unit_test(test_padding_and_priority),
	    cmocka_unit_test(test_continuation),
	    cmocka_unit_test(test_bad_hpack),
	    cmocka_unit_test(test_frames_are_bounded),
	    cmocka_unit_test(test_bytes_are_bounded),
	    cmocka_unit_test(test_decoded_fields_are_bounded),
	    cmocka_unit_test(test_errors_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

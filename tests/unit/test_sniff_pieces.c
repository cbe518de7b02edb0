/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever the pieces in which a stream comes: the same answer, and no more work than for all of it
 * at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "../../daemon/sniff/guess.h"
#include "../../daemon/sniff/h2.h"
#include "../../daemon/sniff/h2ack.h"
#include "../../daemon/sniff/hello.h"
#include "../../daemon/sniff/proxyheader.h"
#include "../../daemon/util.h"

#define STREAM_MAX  (128 * 1024)
#define METHOD_ROOM 25 /* more of a line is not looked at twice */

static const size_t pieces[] = {1, 2, 3, 7, 100, 1448, STREAM_MAX};

/* One of each, for the test that runs. */
static uint8_t stream[STREAM_MAX];
static size_t stream_len;

static void put(const void *bytes, size_t len)
{
	assert_true(stream_len + len <= sizeof(stream));
	memcpy(stream + stream_len, bytes, len);
	stream_len += len;
}

/* ---- ClientHello ---- */

/* A hello of `size` bytes of padding, in records of `record` bytes. */
static void put_hello(size_t size, size_t record)
{
	static uint8_t message[STREAM_MAX];
	const uint8_t tail[] = {0, 0, 2, 0x13, 1, 1, 0};
	size_t body = 2 + 32 + sizeof(tail) + 2 + 4 + size, at = 0;

	memset(message, 0, sizeof(message));
	message[0] = 1;
	message[1] = (uint8_t)(body >> 16);
	message[2] = (uint8_t)(body >> 8);
	message[3] = (uint8_t)body;
	message[4] = message[5] = 3;
	memcpy(message + 38, tail, sizeof(tail));
	message[45] = (uint8_t)((size + 4) >> 8);
	message[46] = (uint8_t)(size + 4);
	message[48] = 21; /* padding */
	message[49] = (uint8_t)(size >> 8);
	message[50] = (uint8_t)size;
	stream_len = 0;
	for (at = 0; at < body + 4; at += record) {
		size_t n = MIN(record, body + 4 - at);
		const uint8_t header[] = {22, 3, 1, (uint8_t)(n >> 8), (uint8_t)n};

		put(header, sizeof(header));
		put(message + at, n);
	}
}

/* Reads it in pieces of that size; *looks is what it took. */
static int read_hello(size_t piece, size_t *looks)
{
	struct hello_reader r = {0};
	struct client_hello h;
	int ret = 0;

	for (size_t len = 0; ret == 0 && len < stream_len;) {
		len = MIN(len + piece, stream_len);
		ret = client_hello_read(&r, stream, len, &h);
	}
	*looks = r.looks;
	return ret;
}

static void hello_in_pieces(void **state _unused_)
{
	static const size_t sizes[] = {0, 100, 5000, 60000}, records[] = {6, 50, 16384};

	for (size_t i = 0; i < ARRAY_SIZE(sizes) * ARRAY_SIZE(records); i++) {
		size_t record = records[i / ARRAY_SIZE(sizes)], looks;

		put_hello(sizes[i % ARRAY_SIZE(sizes)], record);
		for (size_t k = 0; k < ARRAY_SIZE(pieces); k++) {
			int want = stream_len <= HELLO_MAX ? (int)stream_len : -HELLO_TOO_LARGE;

			assert_int_equal(read_hello(pieces[k], &looks), want);
			/* One for each piece, and one for each record. */
			assert_true(looks <= stream_len / pieces[k] + stream_len / record + 2);
		}
	}
}

static void bad_hello_in_pieces(void **state _unused_)
{
	size_t looks;

	put_hello(5000, 50);
	for (size_t at = 0; at < stream_len; at += 11) {
		int want;

		stream[at] ^= 0x55;
		want = read_hello(STREAM_MAX, &looks);
		for (size_t k = 0; k < ARRAY_SIZE(pieces); k++)
			assert_int_equal(read_hello(pieces[k], &looks), want);
		stream[at] ^= 0x55;
	}
}

/* ---- HTTP/2 ---- */

static void put_frame(uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t len)
{
	const uint8_t header[] = {
	    (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,       type,       flags,
	    (uint8_t)(id >> 24),  (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};

	put(header, sizeof(header));
	put(payload, len);
}

/* Some frames, and a head in several. */
static void put_request(unsigned int lead, size_t lead_len)
{
	static const uint8_t zeros[16384];

	stream_len = 0;
	put(NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
	put_frame(NGHTTP2_SETTINGS, 0, 0, "", 0);
	for (unsigned int i = 0; i < lead; i++)
		put_frame(0xb7, 0, 0, zeros, lead_len);
	put_frame(NGHTTP2_HEADERS, 0, 1, "\x82\x84", 2);
	put_frame(NGHTTP2_CONTINUATION, 0, 1, "", 0);
	put_frame(NGHTTP2_CONTINUATION, 4, 1, "\x86\x41\1a", 4);
}

static int read_h2(size_t piece, struct h2_request *ret, size_t *looks)
{
	struct h2_reader r = {0};
	int n = 0;

	for (size_t len = 0; n == 0 && len < stream_len;) {
		len = MIN(len + piece, stream_len);
		n = h2_request_read(&r, stream, len, ret);
	}
	*looks = r.looks;
	return n;
}

static void h2_in_pieces(void **state _unused_)
{
	struct h2_request request;
	size_t looks;

	put_request(50, 1000);
	for (size_t k = 0; k < ARRAY_SIZE(pieces); k++) {
		assert_int_equal(read_h2(pieces[k], &request, &looks), stream_len);
		assert_string_equal(request.authority, "a");
		assert_true(looks <= stream_len / pieces[k] + 60);
	}
}

static void bad_h2_in_pieces(void **state _unused_)
{
	struct h2_request request;
	size_t looks;

	put_request(3, 5);
	for (size_t at = 0; at < stream_len; at++) {
		int want;

		stream[at] ^= 0x85;
		want = read_h2(STREAM_MAX, &request, &looks);
		for (size_t k = 0; k < ARRAY_SIZE(pieces); k++)
			assert_int_equal(read_h2(pieces[k], &request, &looks), want);
		stream[at] ^= 0x85;
	}
}

/* ---- an acknowledgement that is taken out ---- */

static const uint8_t ack[H2_SETTINGS_BYTES] = {0, 0, 0, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK};

static void ack_before_the_head(void **state _unused_)
{
	size_t at;

	put_request(3, 5);
	at = NGHTTP2_CLIENT_MAGIC_LEN + 9 + 3 * 14;
	memmove(stream + at + 9, stream + at, stream_len - at);
	memcpy(stream + at, ack, sizeof(ack));
	stream_len += sizeof(ack);
	for (size_t k = 0; k < ARRAY_SIZE(pieces); k++) {
		struct h2_reader r = {.take_ack = true};
		struct h2_request request;
		size_t len = 0;

		while (!r.ack_at) {
			len = MIN(len + pieces[k], stream_len);
			assert_int_equal(h2_request_read(&r, stream, len, &request), 0);
		}
		assert_int_equal(r.ack_at, at);
		assert_true(len >= at + 9);
	}
}

/* Passes the stream in pieces of that size; what is left of it is in `out`. */
static size_t filtered(size_t piece, uint8_t *out)
{
	static char buffer[STREAM_FILTER_ROOM + STREAM_MAX];
	struct stream_filter *f = h2_ack_filter();
	size_t n = 0, at = 0, step, len;
	bool more = true, ended = false;

	assert_non_null(f);
	while (!ended) {
		char *data = buffer + STREAM_FILTER_ROOM;

		len = step = MIN(piece, stream_len - at);
		ended = !step;
		memcpy(data, stream + at, step);
		if (more)
			more = f->pass(f, &data, &len, ended);
		memcpy(out + n, data, len);
		n += len;
		at += step;
	}
	free(f);
	return n;
}

static void assert_filtered(const uint8_t *want, size_t n)
{
	static uint8_t out[STREAM_MAX];

	for (size_t k = 0; k < ARRAY_SIZE(pieces); k++) {
		assert_int_equal(filtered(pieces[k], out), n);
		assert_memory_equal(out, want, n);
	}
}

static void ack_behind_the_head(void **state _unused_)
{
	static uint8_t want[STREAM_MAX], body[20000], large[70000];
	size_t n;

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = ack[i % sizeof(ack)];
	for (unsigned int acks = 0; acks < 3; acks++) {
		stream_len = 0;
		put_frame(NGHTTP2_DATA, 0, 1, body, sizeof(body));
		put_frame(NGHTTP2_SETTINGS, 0, 0, "", 0);
		put_frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "123456", 6);
		put_frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 1, "", 0);
		put_frame(0xff, 0xff, 7, large,
			  sizeof(large)); /* larger than an own server allows */
		n = stream_len;
		for (unsigned int i = 0; i < acks; i++)
			put(ack, sizeof(ack));
		put_frame(NGHTTP2_DATA, 0, 1, "tail", 4);
		put("\0\0\0\4\1", 5); /* not all there */
		memcpy(want, stream, stream_len);
		if (acks)
			memmove(want + n, want + n + 9, stream_len - n - 9);
		assert_filtered(want, stream_len - (acks ? 9 : 0));
	}
	/* The reserved bit is nobody's business. */
	stream_len = 0;
	put_frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK | 0x10, 0x80000000, "", 0);
	assert_filtered(want, 0);
}

/* Who has sent so much will not acknowledge: later ones are left alone. */
static void ack_that_never_comes(void **state _unused_)
{
	static char buffer[STREAM_FILTER_ROOM + 65536];
	struct stream_filter *f = h2_ack_filter();
	size_t passed = 0, len = 5;
	char *data = buffer + STREAM_FILTER_ROOM;

	assert_non_null(f);
	/* Three bytes of a length, and so on: zeros are frames without contents. */
	assert_true(f->pass(f, &data, &len, false));
	assert_int_equal(len, 0);
	for (bool more = true; more; passed += len) {
		data = buffer + STREAM_FILTER_ROOM;
		len = 65536;
		more = f->pass(f, &data, &len, false);
		assert_true(passed <= H2_ACK_BYTES_MAX);
	}
	/* What was held back has come after all. */
	assert_int_equal(passed % 65536, 5);
	free(f);
}

/* ---- PROXY headers ---- */

static void assert_proxy(const char *bytes, size_t n, int want)
{
	for (size_t k = 0; k < ARRAY_SIZE(pieces); k++) {
		struct proxy_header h;
		size_t scanned = 0, len = 0, before;
		int r = 0;

		while (r == 0 && len < n) {
			len = MIN(len + pieces[k], n);
			before = scanned;
			r = proxy_header_read(&scanned, (const uint8_t *)bytes, len,
					      PROXY_ACCEPT_ANY, &h);
			/* Never back, and to the end of what may be of interest. */
			assert_true(scanned >= before && scanned <= len);
			if (r == 0 && bytes[0] == 'P' && len > 6)
				assert_true(scanned + 1 >= len);
		}
		assert_int_equal(r, want);
	}
}

static void proxy_in_pieces(void **state _unused_)
{
	static const char line[] = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
	char longest[120] = "PROXY UNKNOWN ";

	assert_proxy(line, sizeof(line) - 1, sizeof(line) - 1);
	assert_proxy("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", 35, -PROXY_BAD_LINE);
	assert_proxy("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rx", 36, -PROXY_BAD_LINE);
	memset(longest + 14, 'x', sizeof(longest) - 14);
	assert_proxy(longest, sizeof(longest), -PROXY_LINE_TOO_LONG);
	memcpy(longest + 105, "\r\n", 2);
	assert_proxy(longest, sizeof(longest), 107);
	assert_proxy("\r\n\r\n\0\r\nQUIT\n\x20\0\0\3abc", 19, 19);
	assert_proxy("\r\n\r\n\0\r\nQUIT\n\x31\0\0\3abc", 19, -PROXY_WRONG_VERSION);
}

/* A beginning that other things have, too, is no header yet. */
static void proxy_signature(void **state _unused_)
{
	static const char v1[] = "PROXY ", v2[] = "\r\n\r\n\0\r\nQUIT\n";

	for (size_t n = 0; n <= 6; n++)
		assert_int_equal(proxy_header_is((const uint8_t *)v1, n), n == 6);
	for (size_t n = 0; n <= 12; n++)
		assert_int_equal(proxy_header_is((const uint8_t *)v2, n), n == 12);
	assert_false(proxy_header_is((const uint8_t *)"POST / HTTP/1.1", 15));
	assert_false(proxy_header_is((const uint8_t *)"PROPFIND /", 10));
	assert_false(proxy_header_is((const uint8_t *)"\r\n\r\nPASS", 8));
}

/* ---- auto ---- */

static enum guess guess_in(size_t piece)
{
	enum guess r = GUESS_MORE;
	size_t scanned = 0;

	for (size_t len = 0; r == GUESS_MORE && len < stream_len;) {
		len = MIN(len + piece, stream_len);
		r = guess_protocol(stream, len, &scanned);
		/* Nothing is looked at twice. */
		if (r == GUESS_MORE)
			assert_in_range(scanned + METHOD_ROOM, len, len + METHOD_ROOM);
	}
	return r;
}

static void assert_guess(const char *bytes, size_t len, enum guess want)
{
	stream_len = 0;
	put(bytes, len);
	for (size_t k = 0; k < ARRAY_SIZE(pieces); k++)
		assert_int_equal(guess_in(pieces[k]), want);
}

static void guess_in_pieces(void **state _unused_)
{
	static char line[GUESS_LINE_MAX + 100];

	assert_guess("\x16\x03\x01", 3, GUESS_TLS);
	assert_guess("\x16\x07", 2, GUESS_OTHER);
	assert_guess("GET / HTTP/1.1\r\n", 16, GUESS_HTTP);
	assert_guess("PING\r\n", 6, GUESS_OTHER);
	assert_guess("PROPFIND / HTTP/1.1\r\n", 21, GUESS_HTTP);
	assert_guess("PASS x\r\n", 8, GUESS_OTHER);
	assert_guess("PUT", 3, GUESS_MORE);

	/* Empty lines come before a request, and before other things. */
	assert_guess("\r\n", 2, GUESS_MORE);
	assert_guess("\r\n\r", 3, GUESS_MORE);
	assert_guess("\r\nPUT", 5, GUESS_MORE);
	assert_guess("\r\r\n", 3, GUESS_MORE);
	assert_guess("\r\nGET / HTTP/1.1\r\n", 18, GUESS_HTTP);
	assert_guess("\n\r\n\n\nGET / HTTP/1.1\r\n", 21, GUESS_HTTP);
	assert_guess("\r\nPASS x\r\n", 10, GUESS_OTHER);
	assert_guess("\rGET / HTTP/1.1\r\n", 17, GUESS_OTHER);
	assert_guess("\r\n\r\n\0\r\nQUIT\n", 12, GUESS_OTHER);
	assert_guess("\r\n\x16\x03\x01", 5, GUESS_OTHER);

	/* The longest line, and one byte more. */
	memset(line, 'x', sizeof(line));
	memcpy(line, "GET /", 5);
	memcpy(line + GUESS_LINE_MAX - 11, " HTTP/1.1\r\n", 11);
	assert_guess(line, sizeof(line), GUESS_HTTP);
	line[GUESS_LINE_MAX - 11] = 'x';
	memcpy(line + GUESS_LINE_MAX - 10, " HTTP/1.1\r\n", 11);
	assert_guess(line, sizeof(line), GUESS_OTHER);
	memset(line, '\n', sizeof(line));
	assert_guess(line, sizeof(line), GUESS_OTHER);
	memcpy(line + GUESS_LINE_MAX - 16, "GET / HTTP/1.1\r\n", 16);
	assert_guess(line, sizeof(line), GUESS_HTTP);
	memcpy(line + GUESS_LINE_MAX - 15, "GET / HTTP/1.1\r\n", 16);
	assert_guess(line, sizeof(line), GUESS_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hello_in_pieces),     cmocka_unit_test(bad_hello_in_pieces),
	    cmocka_unit_test(h2_in_pieces),        cmocka_unit_test(bad_h2_in_pieces),
	    cmocka_unit_test(proxy_in_pieces),     cmocka_unit_test(proxy_signature),
	    cmocka_unit_test(guess_in_pieces),     cmocka_unit_test(ack_before_the_head),
	    cmocka_unit_test(ack_behind_the_head), cmocka_unit_test(ack_that_never_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

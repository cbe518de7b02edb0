/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The TLS ClientHello: hellos of real clients (the fuzzer's seeds), and hellos made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../../daemon/sniff/hello.h"
#include "../../daemon/util.h"

#define RECORD_MAX 16384

/* ---- what is parsed ------------------------------------------------------------------------ */

/* In memory of just that size, so that the sanitizers see a read beyond its end. */
static int parse(const uint8_t *bytes, size_t len, struct client_hello *ret)
{
	_cleanup_free_ uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	return client_hello_parse(copy, len, ret);
}

/* A hello that is sound: every prefix needs more, and what follows it changes nothing. */
static void assert_hello(const uint8_t *bytes, size_t len, struct client_hello *ret)
{
	struct client_hello untouched = {.version = 0xabcd}, again;
	_cleanup_free_ uint8_t *more = malloc(len + 3);

	for (size_t part = 0; part < len; part++) {
		int r = parse(bytes, part, &untouched);

		if (r != 0)
			fail_msg("%d with %zu of %zu bytes", r, part, len);
	}
	assert_int_equal(untouched.version, 0xabcd);
	assert_int_equal(parse(bytes, len, ret), len);

	assert_non_null(more);
	memcpy(more, bytes, len);
	memcpy(more + len, "\x17\x03\x03", 3);
	assert_int_equal(parse(more, len + 3, &again), len);
	assert_memory_equal(&again, ret, sizeof(again));
}

/* An error that is certain with `certain` bytes: not before, and whatever follows. */
static void assert_error_at(const uint8_t *bytes, size_t len, size_t certain,
			    enum hello_error error)
{
	struct client_hello h = {.version = 0xabcd};

	for (size_t part = 0; part <= len; part++) {
		int r = parse(bytes, part, &h);

		if (r != (part < certain ? 0 : -(int)error))
			fail_msg("%d with %zu of %zu bytes (%s expected from %zu on)", r, part, len,
				 hello_error_str[error], certain);
	}
	assert_int_equal(h.version, 0xabcd);
}

/* ---- real ones ----------------------------------------------------------------------------- */

/* A file as bytes NAME to NAME_end; the path is the compiler's. */
#define FIXTURE(name, path)                                                      \
	extern const uint8_t name[], name##_end[];                               \
	__asm__(".pushsection .rodata\n" #name ":\n"                             \
		".incbin \"tests/fuzz/corpus/hello/" path "\"\n" #name "_end:\n" \
		".popsection\n")

FIXTURE(openssl_sni, "openssl-sni");
FIXTURE(openssl_sni_alpn, "openssl-sni-alpn");
FIXTURE(openssl_no_sni, "openssl-no-sni");
FIXTURE(openssl_alpn_only, "openssl-alpn-only");
FIXTURE(openssl_curves, "openssl-curves");
FIXTURE(openssl_tls12, "openssl-tls12");
FIXTURE(openssl_tls10, "openssl-tls10-no-ext");
FIXTURE(curl_h2, "curl-h2");
FIXTURE(chromium, "chromium");

static void assert_real(const uint8_t *from, const uint8_t *end, const char *sni, uint16_t version,
			struct client_hello *h)
{
	assert_hello(from, (size_t)(end - from), h);
	assert_string_equal(h->sni, sni);
	assert_int_equal(h->version, version);
	assert_false(h->alpn_cut);
}

#define assert_fixture(name, sni, version, h) assert_real(name, name##_end, sni, version, h)

static void of_openssl(void **state)
{
	struct client_hello h;

	(void)state;
	assert_fixture(openssl_sni, "www.example.org", 0x0304, &h); /* sent as www.Example.org */
	assert_int_equal(h.alpn_len, 0);
	assert_false(h.ech);

	assert_fixture(openssl_sni_alpn, "api.example", 0x0304, &h);
	assert_int_equal(h.alpn_len, 12);
	assert_memory_equal(h.alpn, "\2h2\10http/1.1", 12);

	assert_fixture(openssl_no_sni, "", 0x0304, &h);
	assert_fixture(openssl_alpn_only, "", 0x0304, &h);
	assert_true(client_hello_has_alpn(&h, "postgresql"));
	assert_fixture(openssl_curves, "curves.example", 0x0304, &h);
	assert_fixture(openssl_tls12, "old.example", 0x0303, &h);
	assert_fixture(openssl_tls10, "", 0x0301, &h);
}

static void of_browsers(void **state)
{
	struct client_hello h;

	(void)state;
	assert_fixture(curl_h2, "curl.example", 0x0304, &h);
	assert_true(client_hello_has_alpn(&h, "h2"));
	assert_true(client_hello_has_alpn(&h, "http/1.1"));

	/* GREASE, a post-quantum key share, and encrypted_client_hello as GREASE. */
	assert_fixture(chromium, "chrome.example", 0x0304, &h);
	assert_true(chromium_end - chromium > 1500);
	assert_true(client_hello_has_alpn(&h, "h2"));
	assert_true(h.ech);
}

/* ---- made by hand -------------------------------------------------------------------------- */

struct bytes {
	uint8_t data[2 * HELLO_MAX];
	size_t len;
};

static void put(struct bytes *b, const void *data, size_t n)
{
	assert_true(n <= sizeof(b->data) - b->len);
	memcpy(b->data + b->len, data, n);
	b->len += n;
}

static void put_fill(struct bytes *b, uint8_t c, size_t n)
{
	assert_true(n <= sizeof(b->data) - b->len);
	memset(b->data + b->len, c, n);
	b->len += n;
}

static void put_int(struct bytes *b, size_t n, size_t width)
{
	for (size_t i = width; i-- > 0;)
		put_fill(b, (uint8_t)(n >> 8 * i), 1);
}

static void put_extension(struct bytes *b, uint16_t type, const void *body, size_t n)
{
	put_int(b, type, 2);
	put_int(b, n, 2);
	put(b, body, n);
}

static void put_sni(struct bytes *b, const char *name, size_t n)
{
	put_int(b, 0, 2);
	put_int(b, n + 5, 2);
	put_int(b, n + 3, 2);
	put_int(b, 0, 1);
	put_int(b, n, 2);
	put(b, name, n);
}

/* `list`: the names, each after its length. */
static void put_alpn(struct bytes *b, const char *list, size_t n)
{
	put_int(b, 16, 2);
	put_int(b, n + 2, 2);
	put_int(b, n, 2);
	put(b, list, n);
}

/* The message around these extensions; NULL: the field is not there at all. */
static void make_message(struct bytes *b, const struct bytes *extensions)
{
	size_t tail = extensions ? 2 + extensions->len : 0;

	b->len = 0;
	put_int(b, 1, 1);
	put_int(b, 2 + 32 + 33 + 4 + 2 + tail, 3);
	put_int(b, 0x0303, 2);
	put_fill(b, 'r', 32);
	put_int(b, 32, 1);
	put_fill(b, 's', 32);
	put(b, "\0\2\x13\1" /* one cipher suite */ "\1\0" /* no compression */, 6);
	if (extensions) {
		put_int(b, extensions->len, 2);
		put(b, extensions->data, extensions->len);
	}
}

static void cut_records(struct bytes *b, const struct bytes *message, size_t size)
{
	b->len = 0;
	for (size_t at = 0; at < message->len; at += size) {
		size_t n = MIN(size, message->len - at);

		put(b, "\x16\3\1", 3);
		put_int(b, n, 2);
		put(b, message->data + at, n);
	}
}

/* Big, so they are everybody's. */
static struct bytes ext, message, stream;

static void make_stream(size_t record)
{
	make_message(&message, &ext);
	cut_records(&stream, &message, record);
}

static int parse_extensions(struct client_hello *h)
{
	make_stream(RECORD_MAX);
	return parse(stream.data, stream.len, h);
}

static void assert_extensions_error(enum hello_error error)
{
	struct client_hello h;

	make_stream(RECORD_MAX);
	assert_error_at(stream.data, stream.len, stream.len, error);
	make_stream(1);
	assert_int_equal(parse(stream.data, stream.len, &h), -(int)error);
}

static void assert_sni(const char *sent, size_t n, const char *expected)
{
	struct client_hello h;

	ext.len = 0;
	put_sni(&ext, sent, n);
	if (!expected) {
		assert_extensions_error(HELLO_BAD_SNI);
		return;
	}
	assert_true(parse_extensions(&h) > 0);
	assert_string_equal(h.sni, expected);
}

static void without_extensions(void **state)
{
	struct client_hello h;

	(void)state;
	make_message(&message, NULL);
	cut_records(&stream, &message, RECORD_MAX);
	assert_hello(stream.data, stream.len, &h);
	assert_string_equal(h.sni, "");
	assert_int_equal(h.version, 0x0303);

	ext.len = 0;
	assert_true(parse_extensions(&h) > 0);
}

static void names(void **state)
{
	static char longest[256];

	(void)state;
	assert_sni("WWW.Example.ORG", 15, "www.example.org");
	assert_sni("www.example.org.", 16, "www.example.org");
	assert_sni("localhost", 9, "localhost");
	assert_sni("_sip.a_b.example", 16, "_sip.a_b.example");
	assert_sni("xn--bcher-kva.example", 21, "xn--bcher-kva.example");
	assert_sni("192.0.2.1", 9, "192.0.2.1");
	assert_sni("2001:DB8::1", 11, "2001:db8::1");
	assert_sni("[::1]", 5, "[::1]");
	assert_sni("", 0, "");

	memset(longest, 'a', 255);
	assert_sni(longest, 255, longest);
	assert_sni(longest, 256, NULL);
}

static void bad_names(void **state)
{
	(void)state;
	assert_sni(".", 1, NULL);
	assert_sni("..", 2, NULL);
	assert_sni(".a", 2, NULL);
	assert_sni("a..b", 4, NULL);
	assert_sni("a.b..", 5, NULL);
	assert_sni("a.example\0.b.example", 20, NULL);
	assert_sni("a b", 3, NULL);
	assert_sni("a\nb", 3, NULL);
	assert_sni("*.example", 9, NULL);
	assert_sni("a.example:443", 13, NULL);
	assert_sni("[a.example]", 11, NULL);
	assert_sni("[::1", 4, NULL);
	assert_sni("::1]", 4, NULL);
	assert_sni("1::2::3", 7, NULL);
	assert_sni("[]", 2, NULL);
	assert_sni("b\xc3\xbc"
		   "cher.example",
		   14, NULL);
}

/* What was sent instead of a name is told. */
static void bad_name_is_shown(void **state)
{
	struct client_hello h;
	char longest[300];

	(void)state;
	ext.len = 0;
	put_sni(&ext, "A b\0\nc\xff", 7);
	assert_int_equal(parse_extensions(&h), -HELLO_BAD_SNI);
	assert_string_equal(h.sni, "A b%00\nc\xff");

	memset(longest, '\0', sizeof(longest));
	ext.len = 0;
	put_sni(&ext, longest, sizeof(longest));
	assert_int_equal(parse_extensions(&h), -HELLO_BAD_SNI);
	assert_int_equal(strlen(h.sni), 255);
}

/* Nothing in the extension, the list or the name: no name was sent. */
static void empty_names(void **state)
{
	struct client_hello h;

	(void)state;
	for (size_t len = 0; len <= 5; len += len ? 3 : 2) {
		ext.len = 0;
		put_extension(&ext, 0, len == 5 ? "\0\3\0\0\0" : "\0\0", len);
		assert_true(parse_extensions(&h) > 0);
		assert_string_equal(h.sni, "");
	}
}

/* The extension's own frame. */
static void bad_name_lists(void **state)
{
	static const struct {
		const char *body;
		size_t len;
	} bad[] = {
	    {"\0\4\0\0\1a\0", 7},        /* bytes after the list */
	    {"\0\5\0\0\1a", 6},          /* a list beyond the extension */
	    {"\0\4\0\0\2a", 6},          /* a name beyond the list */
	    {"\0\10\0\0\1a\0\0\1b", 10}, /* two host names */
	    {"\0\4\1\0\1a", 6},          /* a kind of name that nobody defined */
	    {"\0\10\0\0\1a\1\0\1b", 10}, /* such a one after the host name */
	    {"\0\1\0", 3},               /* no length */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ext.len = 0;
		put_extension(&ext, 0, bad[i].body, bad[i].len);
		assert_extensions_error(HELLO_BAD_SNI);
	}
}

static void protocols(void **state)
{
	char list[300];
	struct client_hello h;

	(void)state;
	ext.len = 0;
	put_alpn(&ext, "\2h2\10http/1.1\2\x1a\x1a", 15);
	make_stream(RECORD_MAX);
	assert_hello(stream.data, stream.len, &h);
	assert_int_equal(h.alpn_len, 15);
	assert_memory_equal(h.alpn, "\2h2\10http/1.1\2\x1a\x1a", 15);
	assert_true(client_hello_has_alpn(&h, "h2"));
	assert_true(client_hello_has_alpn(&h, "http/1.1"));
	assert_false(client_hello_has_alpn(&h, "http/1.0"));
	assert_false(client_hello_has_alpn(&h, "h"));
	assert_false(client_hello_has_alpn(&h, "H2"));
	assert_false(client_hello_has_alpn(&h, ""));

	/* The longest name that there is. */
	ext.len = 0;
	list[0] = (char)255;
	memset(list + 1, 'x', 255);
	put_alpn(&ext, list, 256);
	assert_true(parse_extensions(&h) > 0);
	assert_int_equal(h.alpn_len, 256);
	assert_false(h.alpn_cut);

	/* It does not fit beside another, which is kept. */
	ext.len = 0;
	memmove(list + 3, list, 256);
	memcpy(list, "\2h2", 3);
	memcpy(list + 259, "\3foo", 4);
	put_alpn(&ext, list, 263);
	assert_true(parse_extensions(&h) > 0);
	assert_true(h.alpn_cut);
	assert_int_equal(h.alpn_len, 7);
	assert_memory_equal(h.alpn, "\2h2\3foo", 7);
}

static void bad_protocols(void **state)
{
	static const struct {
		const char *body;
		size_t len;
	} bad[] = {
	    {"", 0},         {"\0\0", 2},     {"\0\1\0", 3},     {"\0\3\2h", 4},
	    {"\0\2\2h2", 5}, {"\0\4\2h2", 5}, {"\0\3\2h2\0", 6}, {"\0\4\2h2\0", 6},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ext.len = 0;
		put_extension(&ext, 16, bad[i].body, bad[i].len);
		assert_extensions_error(HELLO_BAD_ALPN);
	}
}

static void assert_versions(const char *body, size_t n, uint16_t expected)
{
	struct client_hello h;

	ext.len = 0;
	put_extension(&ext, 43, body, n);
	assert_true(parse_extensions(&h) > 0);
	assert_int_equal(h.version, expected);
}

static void versions(void **state)
{
	struct client_hello h;

	(void)state;
	assert_versions("\4\3\4\3\3", 5, 0x0304);
	assert_versions("\4\3\3\3\4", 5, 0x0304);
	assert_versions("\6\xfa\xfa\3\3\3\2", 7, 0x0303); /* GREASE */
	assert_versions("\2\3\2", 3, 0x0302);
	assert_versions("\2\xfa\xfa", 3, 0);

	/* The old field says no more than 1.2, and no less than SSL 3. */
	ext.len = 0;
	make_stream(RECORD_MAX);
	stream.data[9] = stream.data[10] = 4;
	assert_true(parse(stream.data, stream.len, &h) > 0);
	assert_int_equal(h.version, 0x0303);
	stream.data[9] = 3;
	stream.data[10] = 0;
	assert_true(parse(stream.data, stream.len, &h) > 0);
	assert_int_equal(h.version, 0x0300);
	stream.data[9] = 2;
	assert_error_at(stream.data, stream.len, stream.len, HELLO_MALFORMED);
}

static void grease_and_ech(void **state)
{
	struct client_hello h;

	(void)state;
	ext.len = 0;
	put_extension(&ext, 0x1a1a, "", 0);
	put_sni(&ext, "public.example", 14);
	put_extension(&ext, 0xfe0d, "\0\0\1\0\1\x2a\0\2kk\0\4pppp", 16);
	put_extension(&ext, 0x2a2a, "\0", 1);
	/* Twice, but nobody reads it. */
	put_extension(&ext, 0x2a2a, "\0", 1);
	make_stream(RECORD_MAX);
	assert_hello(stream.data, stream.len, &h);
	assert_string_equal(h.sni, "public.example");
	assert_true(h.ech);
}

/* A key share of 16 KiB does not fit into one record together with the rest. */
static void large_key_share(void **state)
{
	struct client_hello h;

	(void)state;
	ext.len = 0;
	put_int(&ext, 51, 2);
	put_int(&ext, 16384 + 6, 2);
	put_int(&ext, 16384 + 4, 2);
	put_int(&ext, 0x11ec, 2);
	put_int(&ext, 16384, 2);
	put_fill(&ext, 'k', 16384);
	put_sni(&ext, "pq.example", 10);
	make_stream(RECORD_MAX);
	assert_int_equal(parse(stream.data, stream.len, &h), stream.len);
	assert_string_equal(h.sni, "pq.example");
	assert_int_equal(parse(stream.data, stream.len - 1, &h), 0);
	assert_int_equal(parse(stream.data, RECORD_MAX + 5, &h), 0);
}

/* Any cut of the same message says the same. */
static void many_records(void **state)
{
	struct client_hello whole, h;

	(void)state;
	ext.len = 0;
	put_sni(&ext, "www.example.org", 15);
	put_alpn(&ext, "\2h2", 3);
	put_extension(&ext, 43, "\2\3\4", 3);
	make_stream(RECORD_MAX);
	assert_hello(stream.data, stream.len, &whole);
	for (size_t size = 1; size <= message.len; size++) {
		cut_records(&stream, &message, size);
		assert_int_equal(parse(stream.data, stream.len, &h), stream.len);
		assert_memory_equal(&h, &whole, sizeof(h));
	}
	cut_records(&stream, &message, 1);
	assert_hello(stream.data, stream.len, &h);
}

/* ---- errors -------------------------------------------------------------------------------- */

static void not_tls(void **state)
{
	(void)state;
	assert_error_at((const uint8_t *)"GET / HTTP/1.1\r\n", 16, 1, HELLO_NOT_TLS);
	assert_error_at((const uint8_t *)"\x80\x2e\1\3\1\0\x15", 7, 1, HELLO_NOT_TLS); /* SSLv2 */
	assert_error_at((const uint8_t *)"\x15\3\1\0\2\2\0", 7, 1, HELLO_NOT_TLS);     /* alert */
	assert_error_at((const uint8_t *)"\x16GET", 4, 2, HELLO_NOT_TLS);
	assert_error_at((const uint8_t *)"\x16\xfe\xfd\0\0\0", 6, 2, HELLO_NOT_TLS); /* DTLS */
}

static void not_hello(void **state)
{
	(void)state;
	assert_error_at((const uint8_t *)"\x16\3\3\0\4\2\0\0\0", 9, 6, HELLO_NOT_HELLO);
}

static void bad_records(void **state)
{
	(void)state;
	assert_error_at((const uint8_t *)"\x16\3\1\0\0", 5, 5, HELLO_BAD_RECORD);
	assert_error_at((const uint8_t *)"\x16\3\1\x40\1\1", 6, 5, HELLO_BAD_RECORD);
	/* The next one: empty, too large, of another version. */
	assert_error_at((const uint8_t *)"\x16\3\1\0\1\1\x16\3\1\0\0", 11, 11, HELLO_BAD_RECORD);
	assert_error_at((const uint8_t *)"\x16\3\1\0\1\1\x16\3\1\xff\xff", 11, 11,
			HELLO_BAD_RECORD);
	assert_error_at((const uint8_t *)"\x16\3\1\0\1\1\x16\2\1\0\1", 11, 8, HELLO_BAD_RECORD);
}

static void interleaved(void **state)
{
	(void)state;
	assert_error_at((const uint8_t *)"\x16\3\1\0\1\1\x15\3\1\0\2\1\0", 13, 7,
			HELLO_INTERLEAVED);
	assert_error_at((const uint8_t *)"\x16\3\1\0\1\1\x14\3\1\0\1\1", 12, 7, HELLO_INTERLEAVED);
}

/* With `size` bytes of message in records of `record` bytes: an error, or what it takes. */
static int parse_sized(size_t size, size_t record)
{
	struct client_hello h;
	size_t fill = size - 4 - 2 - 32 - 33 - 4 - 2 - 2, at = 0;

	/* As many extensions as it takes: each holds 64 KiB at most. */
	ext.len = 0;
	while (fill - at > 0) {
		size_t n = MIN(fill - at - 4, 30000);

		put_int(&ext, 0x5a5a, 2);
		put_int(&ext, n, 2);
		put_fill(&ext, 'x', n);
		at += 4 + n;
	}
	make_stream(record);
	assert_int_equal(message.len, size);
	return parse(stream.data, stream.len, &h);
}

static void too_large(void **state)
{
	struct client_hello h;

	(void)state;
	/* The message says so itself. */
	assert_error_at((const uint8_t *)"\x16\3\1\0\x20\1\1\0\0\3", 10, 9, HELLO_TOO_LARGE);
	assert_error_at((const uint8_t *)"\x16\3\1\0\x20\1\xff\xff\xff\3", 10, 9, HELLO_TOO_LARGE);

	/* Four full records and what is left: exactly the limit, and a byte more. */
	assert_int_equal(parse_sized(HELLO_MAX - 4 * 5, RECORD_MAX), HELLO_MAX);
	assert_int_equal(parse_sized(HELLO_MAX - 4 * 5 + 1, RECORD_MAX), -HELLO_TOO_LARGE);
	/* In small records their headers count: six bytes for one. */
	assert_int_equal(parse_sized(HELLO_MAX / 6, 1), HELLO_MAX / 6 * 6);
	assert_int_equal(parse_sized(HELLO_MAX / 6 + 1, 1), -HELLO_TOO_LARGE);
	/* It never waits for more than the limit. */
	assert_int_equal(parse(stream.data, HELLO_MAX, &h), -HELLO_TOO_LARGE);
}

/* A hello whose byte at `at` (of the message) is another one. */
static void assert_malformed_with(size_t at, uint8_t value)
{
	ext.len = 0;
	put_extension(&ext, 0x5a5a, "xx", 2);
	make_stream(RECORD_MAX);
	stream.data[5 + at] = value;
	assert_error_at(stream.data, stream.len, stream.len, HELLO_MALFORMED);
}

static void malformed(void **state)
{
	const size_t session_id = 38, ciphers = session_id + 33, compressions = ciphers + 4,
		     extensions = compressions + 2;

	(void)state;
	assert_malformed_with(session_id, 33);
	assert_malformed_with(session_id, 255);
	assert_malformed_with(ciphers, 255);
	assert_malformed_with(ciphers + 1, 0);
	assert_malformed_with(ciphers + 1, 3);
	assert_malformed_with(compressions, 0);
	assert_malformed_with(compressions, 255);
	assert_malformed_with(extensions + 1, 5);
	assert_malformed_with(extensions + 1, 7);
	assert_malformed_with(extensions + 5, 1);
	assert_malformed_with(extensions + 5, 3);

	/* An end in every field. */
	ext.len = 0;
	put_extension(&ext, 0x5a5a, "xx", 2);
	make_message(&message, &ext);
	for (size_t len = message.len - 1; len > 4; len--) {
		struct client_hello h;

		if (len == compressions + 2)
			continue; /* a hello without extensions */
		message.len = len;
		message.data[3] = (uint8_t)(len - 4);
		cut_records(&stream, &message, RECORD_MAX);
		assert_int_equal(parse(stream.data, stream.len, &h), -HELLO_MALFORMED);
	}
	assert_error_at((const uint8_t *)"\x16\3\1\0\4\1\0\0\0", 9, 9, HELLO_MALFORMED);
}

static void malformed_versions(void **state)
{
	(void)state;
	ext.len = 0;
	put_extension(&ext, 43, "\3\3\4\3", 4);
	assert_extensions_error(HELLO_MALFORMED);
	ext.len = 0;
	put_extension(&ext, 43, "\0", 1);
	assert_extensions_error(HELLO_MALFORMED);
	ext.len = 0;
	put_extension(&ext, 43, "\2\3\4\0", 4);
	assert_extensions_error(HELLO_MALFORMED);
}

/* Whatever follows the hello in its record cannot be the client's turn. */
static void malformed_rest(void **state)
{
	(void)state;
	assert_error_at((const uint8_t *)"\x16\3\1\0\6\1\0\0\1\3\1", 11, 9, HELLO_MALFORMED);
}

static void duplicates(void **state)
{
	(void)state;
	ext.len = 0;
	put_sni(&ext, "a.example", 9);
	put_sni(&ext, "b.example", 9);
	assert_extensions_error(HELLO_DUPLICATE_EXTENSION);

	ext.len = 0;
	put_alpn(&ext, "\2h2", 3);
	put_sni(&ext, "a.example", 9);
	put_alpn(&ext, "\2h2", 3);
	assert_extensions_error(HELLO_DUPLICATE_EXTENSION);

	ext.len = 0;
	put_extension(&ext, 43, "\2\3\4", 3);
	put_extension(&ext, 43, "\2\3\3", 3);
	assert_extensions_error(HELLO_DUPLICATE_EXTENSION);

	ext.len = 0;
	put_extension(&ext, 0xfe0d, "\1", 1);
	put_extension(&ext, 0xfe0d, "\1", 1);
	assert_extensions_error(HELLO_DUPLICATE_EXTENSION);
}

static void error_names(void **state)
{
	(void)state;
	for (int i = 0; i < _HELLO_ERROR_MAX; i++) {
		assert_non_null(hello_error_str[i]);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(hello_error_str[i], hello_error_str[k]);
	}
	assert_string_equal(hello_error_str[HELLO_NOT_TLS], "not_tls");
}

static void alert(void **state)
{
	uint8_t buf[TLS_ALERT_BYTES];

	(void)state;
	assert_int_equal(tls_alert_build(buf, TLS_ALERT_UNRECOGNIZED_NAME), TLS_ALERT_BYTES);
	assert_memory_equal(buf, "\x15\3\3\0\2\2\x70", sizeof(buf));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(of_openssl),
	    cmocka_unit_test(of_browsers),
	    cmocka_unit_test(without_extensions),
	    cmocka_unit_test(names),
	    cmocka_unit_test(bad_names),
	    cmocka_unit_test(bad_name_is_shown),
	    cmocka_unit_test(empty_names),
	    cmocka_unit_test(bad_name_lists),
	    cmocka_unit_test(protocols),
	    cmocka_unit_test(bad_protocols),
	    cmocka_unit_test(versions),
	    cmocka_unit_test(grease_and_ech),
	    cmocka_unit_test(large_key_share),
	    cmocka_unit_test(many_records),
	    cmocka_unit_test(not_tls),
	    cmocka_unit_test(not_hello),
	    cmocka_unit_test(bad_records),
	    cmocka_unit_test(interleaved),
	    cmocka_unit_test(too_large),
	    cmocka_unit_test(malformed),
	    cmocka_unit_test(malformed_versions),
	    cmocka_unit_test(malformed_rest),
	    cmocka_unit_test(duplicates),
	    cmocka_unit_test(error_names),
	    cmocka_unit_test(alert),
	};

	return cmocka_run_group_tests_name("hello_tls", tests, NULL, NULL);
}

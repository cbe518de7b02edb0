/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The TLS ClientHello: the input as the stream, and as the extensions of a hello that is sound. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../daemon/sniff/hello.h"

#define EXTENSIONS_MAX 2048
#define RECORD_MAX     16384

static void must(bool true_of_every_input)
{
	if (!true_of_every_input)
		abort();
}

/* In memory of just that size, so that a read beyond its end is seen. */
static int parse(const uint8_t *bytes, size_t len, struct client_hello *ret)
{
	uint8_t *copy = malloc(len);
	int r;

	must(copy || len == 0);
	if (len)
		memcpy(copy, bytes, len);
	memset(ret, 0x5a, sizeof(*ret));
	r = client_hello_parse(copy, len, ret);
	free(copy);
	return r;
}

static void check_name(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		must(name[i] > ' ' && name[i] < 0x7f && !(name[i] >= 'A' && name[i] <= 'Z'));
	must(!len || (name[0] != '.' && name[len - 1] != '.'));
}

static void check_hello(const struct client_hello *h)
{
	must(memchr(h->sni, '\0', sizeof(h->sni)));
	check_name(h->sni);
	must(h->alpn_len <= sizeof(h->alpn));
	for (size_t at = 0; at < h->alpn_len;) {
		uint8_t n = (uint8_t)h->alpn[at];
		char name[256] = "";

		must(n && at + 1 + n <= h->alpn_len);
		memcpy(name, h->alpn + at + 1, n);
		must(strlen(name) != n || client_hello_has_alpn(h, name));
		at += 1u + n;
	}
	must(!client_hello_has_alpn(h, ""));
	must(h->version == 0 || h->version >> 8 == 3);
}

/* Parts of a stream say the same as all of it, or that they need more. Some parts: for speed. */
static void check_parts(const uint8_t *bytes, size_t len, int whole)
{
	size_t step = 1 + len / 16;
	struct client_hello h;

	for (size_t part = len % step; part < len; part += step) {
		int r = parse(bytes, part, &h);

		if (whole > 0)
			must(r == (part < (size_t)whole ? 0 : whole));
		else
			must(r == 0 || r == whole);
	}
	if (whole > 0)
		must(parse(bytes, (size_t)whole - 1, &h) == 0);
}

/* Read on in pieces, as they come: the same answer as of all at once. */
static void check_pieces(const uint8_t *bytes, size_t len, int whole, const struct client_hello *h)
{
	size_t step = 1 + (len ? bytes[len - 1] : 0), part = 0;
	struct hello_reader reader = {0};
	struct client_hello again;
	int r = 0;

	memset(&again, 0x5a, sizeof(again));
	while (r == 0 && part < len) {
		part = len - part < step ? len : part + step;
		r = client_hello_read(&reader, bytes, part, &again);
	}
	must(r == whole && memcmp(&again, h, sizeof(again)) == 0);
	must(reader.looks <= len / step + len / 6 + 2);
}

static int check(const uint8_t *bytes, size_t len, struct client_hello *ret)
{
	int r = parse(bytes, len, ret);

	check_pieces(bytes, len, r, ret);
	must(r > -(int)_HELLO_ERROR_MAX && (r < 0 || (size_t)r <= len) && r <= HELLO_MAX);
	must(r != 0 || len < HELLO_MAX);
	must(r > 0 || hello_error_str[-r]);
	if (r > 0)
		check_hello(ret);
	check_parts(bytes, len, r);
	return r;
}

/* The message in records of `size` bytes; returns the stream's length. */
static size_t cut(const uint8_t *message, size_t len, size_t size, uint8_t *stream)
{
	size_t n = 0;

	for (size_t at = 0; at < len; at += size) {
		size_t step = len - at < size ? len - at : size;
		const uint8_t header[5] = {22, 3, 1, (uint8_t)(step >> 8), (uint8_t)step};

		memcpy(stream + n, header, sizeof(header));
		memcpy(stream + n + sizeof(header), message + at, step);
		n += sizeof(header) + step;
	}
	return n;
}

/* However a message is cut into records, what it says is the same. */
static void check_extensions(const uint8_t *extensions, size_t len)
{
	static uint8_t message[47 + EXTENSIONS_MAX], stream[6 * sizeof(message)];
	const uint8_t tail[] = {0, 0, 2, 0x13, 1, 1, 0, (uint8_t)(len >> 8), (uint8_t)len};
	size_t body = 2 + 32 + sizeof(tail) + len, size = len ? 1 + extensions[0] % 64u : 1, n;
	const uint8_t head[] = {1, 0, (uint8_t)(body >> 8), (uint8_t)body, 3, 3};
	struct client_hello whole, pieces;
	int r;

	memcpy(message, head, sizeof(head));
	memcpy(message + sizeof(head) + 32, tail, sizeof(tail));
	memcpy(message + sizeof(head) + 32 + sizeof(tail), extensions, len);

	n = cut(message, 4 + body, RECORD_MAX, stream);
	r = check(stream, n, &whole);
	must(r == (int)n || r < 0);
	n = cut(message, 4 + body, size, stream);
	must(check(stream, n, &pieces) == (r < 0 ? r : (int)n));
	if (r > 0)
		must(memcmp(&whole, &pieces, sizeof(whole)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct client_hello h;

	(void)check(data, len, &h);
	if (len <= EXTENSIONS_MAX)
		check_extensions(data, len);
	return 0;
}

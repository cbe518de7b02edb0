// SPDX-License-Identifier: GPL-2.0-or-later
#include "clienthello.h"

#include <assert.h>
#include <string.h>
#include <sys/random.h>

#include "../util.h"

/* RFC 8446, RFC 5246 and the registries of IANA have the numbers. */
enum {
	EXTENSION_SERVER_NAME = 0,
	EXTENSION_GROUPS = 10,
	EXTENSION_POINT_FORMATS = 11,
	EXTENSION_SIGNATURES = 13,
	EXTENSION_VERSIONS = 43,
	EXTENSION_KEY_SHARE = 51,
};

static const uint16_t suites[] = {
    0x1301, 0x1302, 0x1303,                         /* TLS 1.3 */
    0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, /* ECDHE with AES-GCM, ChaCha20 */
    0x009e, 0x009f,                                 /* DHE */
    0xc009, 0xc013, 0xc00a, 0xc014,                 /* ECDHE with CBC: TLS 1.0 and 1.1 */
    0x009c, 0x009d, 0x002f, 0x0035,                 /* RSA */
    0x00ff,                                         /* renegotiation_info */
};
static const uint16_t groups[] = {0x001d, 0x0017, 0x0018, 0x0019, 0x001e, 0x0100, 0x0101};
static const uint16_t signatures[] = {
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808,         /* ECDSA, EdDSA */
    0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, /* RSA-PSS */
    0x0401, 0x0501, 0x0601, 0x0203, 0x0201,         /* RSA, and SHA-1 */
};
static const uint16_t versions[] = {0x0304, 0x0303};

struct writer {
	uint8_t *buf;
	size_t len;
};

static void put8(struct writer *w, unsigned int n)
{
	w->buf[w->len++] = (uint8_t)n;
}

static void put16(struct writer *w, unsigned int n)
{
	put8(w, n >> 8);
	put8(w, n & 0xff);
}

static void put(struct writer *w, const void *data, size_t len)
{
	memcpy(w->buf + w->len, data, len);
	w->len += len;
}

/* A length is written when what it is of has been: of two bytes. */
static size_t begin(struct writer *w)
{
	put16(w, 0);
	return w->len;
}

static void end(struct writer *w, size_t begun)
{
	size_t len = w->len - begun;

	w->buf[begun - 2] = (uint8_t)(len >> 8);
	w->buf[begun - 1] = (uint8_t)len;
}

static void put_numbers(struct writer *w, const uint16_t *numbers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put16(w, numbers[i]);
}

/* An extension that is a list of numbers of two bytes, with a length of two bytes. */
static void put_list(struct writer *w, unsigned int kind, const uint16_t *numbers, size_t n)
{
	put16(w, kind);
	put16(w, (unsigned int)(2 + 2 * n));
	put16(w, (unsigned int)(2 * n));
	put_numbers(w, numbers, n);
}

static void put_server_name(struct writer *w, const char *name)
{
	size_t extension, list, len = strlen(name);

	if (!len)
		return;
	put16(w, EXTENSION_SERVER_NAME);
	extension = begin(w);
	list = begin(w);
	put8(w, 0); /* host_name */
	put16(w, (unsigned int)len);
	put(w, name, len);
	end(w, list);
	end(w, extension);
}

static void put_extensions(struct writer *w, const char *name)
{
	size_t all = begin(w);

	put_server_name(w, name);
	put_list(w, EXTENSION_GROUPS, groups, ARRAY_SIZE(groups));
	put16(w, EXTENSION_POINT_FORMATS);
	put16(w, 2);
	put8(w, 1);
	put8(w, 0); /* uncompressed */
	put_list(w, EXTENSION_SIGNATURES, signatures, ARRAY_SIZE(signatures));
	put16(w, EXTENSION_VERSIONS);
	put16(w, 1 + sizeof(versions));
	put8(w, sizeof(versions));
	put_numbers(w, versions, ARRAY_SIZE(versions));
	put16(w, EXTENSION_KEY_SHARE);
	put16(w, 2);
	put16(w, 0); /* none */
	end(w, all);
}

size_t client_hello_build(uint8_t *buf, size_t size, const char *name)
{
	struct writer w = {.buf = buf};
	size_t record, message;
	uint8_t random[32];

	assert(size >= CLIENT_HELLO_MAX);
	/* It encrypts nothing. */
	if (getrandom(random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
		memset(random, 1, sizeof(random));
	put8(&w, 22);      /* handshake */
	put16(&w, 0x0301); /* of the record: what old servers understand */
	record = begin(&w);
	put8(&w, 1); /* ClientHello, with a length of three bytes */
	put8(&w, 0);
	message = begin(&w);
	put16(&w, 0x0303);
	put(&w, random, sizeof(random));
	put8(&w, 0); /* no session */
	put16(&w, sizeof(suites));
	put_numbers(&w, suites, ARRAY_SIZE(suites));
	put8(&w, 1);
	put8(&w, 0); /* no compression */
	put_extensions(&w, name);
	end(&w, message);
	end(&w, record);
	return w.len;
}

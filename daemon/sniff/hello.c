// SPDX-License-Identifier: GPL-2.0-or-later
#include "hello.h"

#include <arpa/inet.h>
#include <string.h>

#include "../util.h"

#define RECORD_HEADER    5
#define RECORD_HANDSHAKE 22
#define RECORD_ALERT     21
#define RECORD_MAX       (16 * 1024)

#define MESSAGE_HEADER       4
#define MESSAGE_CLIENT_HELLO 1

#define RANDOM_SIZE    32
#define SESSION_ID_MAX 32

#define EXT_SERVER_NAME        0
#define EXT_ALPN               16
#define EXT_SUPPORTED_VERSIONS 43
#define EXT_ECH                0xfe0d

#define NAME_TYPE_HOST 0

#define VERSION_SSL3  0x0300
#define VERSION_TLS12 0x0303

const char *const hello_error_str[_HELLO_ERROR_MAX] = {
    [HELLO_OK] = "ok",
    [HELLO_NOT_TLS] = "not_tls",
    [HELLO_NOT_HELLO] = "not_hello",
    [HELLO_BAD_RECORD] = "bad_record",
    [HELLO_INTERLEAVED] = "interleaved",
    [HELLO_TOO_LARGE] = "too_large",
    [HELLO_MALFORMED] = "malformed",
    [HELLO_DUPLICATE_EXTENSION] = "duplicate_extension",
    [HELLO_BAD_SNI] = "bad_sni",
    [HELLO_BAD_ALPN] = "bad_alpn",
};

/*
 * A place in the message and what is left of the vector that is being read. The record headers
 * in between are stepped over; find_end() has checked them and that all of them are there.
 */
struct cursor {
	const uint8_t *at;
	size_t fragment; /* bytes left of the record at `at` */
	size_t left;     /* bytes left of the vector */
};

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* Reads n bytes into dst, or skips them where that is NULL; false: the vector is shorter. */
static bool take(struct cursor *c, void *dst, size_t n)
{
	uint8_t *to = dst;

	if (n > c->left)
		return false;
	c->left -= n;

	while (n) {
		size_t step;

		if (!c->fragment) {
			c->fragment = be16(c->at + 3);
			c->at += RECORD_HEADER;
		}
		step = MIN(n, c->fragment);
		if (to) {
			memcpy(to, c->at, step);
			to += step;
		}
		c->at += step;
		c->fragment -= step;
		n -= step;
	}
	return true;
}

static bool take_u8(struct cursor *c, uint8_t *ret)
{
	return take(c, ret, 1);
}

static bool take_u16(struct cursor *c, uint16_t *ret)
{
	uint8_t bytes[2];

	if (!take(c, bytes, sizeof(bytes)))
		return false;
	*ret = be16(bytes);
	return true;
}

/* Steps over n bytes and gives them as a vector of its own. */
static bool take_bytes(struct cursor *c, size_t n, struct cursor *ret)
{
	*ret = *c;
	ret->left = n;
	return take(c, NULL, n);
}

static bool take_vector8(struct cursor *c, struct cursor *ret)
{
	uint8_t n;

	return take_u8(c, &n) && take_bytes(c, n, ret);
}

static bool take_vector16(struct cursor *c, struct cursor *ret)
{
	uint16_t n;

	return take_u16(c, &n) && take_bytes(c, n, ret);
}

/* ---- records ------------------------------------------------------------------------------- */

/* The length of the record that starts here; 0: its header is not all there; or an error. */
static int record_length(const uint8_t *buf, size_t len, bool first)
{
	uint16_t length;

	if (len > 0 && buf[0] != RECORD_HANDSHAKE)
		return first ? -HELLO_NOT_TLS : -HELLO_INTERLEAVED;
	/* The minor version says nothing: RFC 8446 wants it ignored. */
	if (len > 1 && buf[1] != VERSION_SSL3 >> 8)
		return first ? -HELLO_NOT_TLS : -HELLO_BAD_RECORD;
	if (len < RECORD_HEADER)
		return 0;

	length = be16(buf + 3);
	return length == 0 || length > RECORD_MAX ? -HELLO_BAD_RECORD : length;
}

/* Looks at the n bytes of the next fragment that are there, for the message's header. */
static int message_look(struct hello_reader *r, const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n && r->got + i < MESSAGE_HEADER; i++)
		r->head[r->got + i] = data[i];

	if (r->got + n > 0 && r->head[0] != MESSAGE_CLIENT_HELLO)
		return -HELLO_NOT_HELLO;
	if (r->got + n >= MESSAGE_HEADER)
		r->size = MESSAGE_HEADER + ((uint32_t)r->head[1] << 16 | be16(r->head + 2));
	return 0;
}

/*
 * Where do the records end that hold the whole message? > 0: there; 0: further than len; or an
 * error. The order of the checks is the order in which bytes make them certain, so that more
 * bytes never change an answer. A record is done with, and *r moves behind it, when all of it is
 * there.
 */
static int find_end(struct hello_reader *r, const uint8_t *buf, size_t len)
{
	for (;;) {
		int err, length = record_length(buf + r->at, len - r->at, r->at == 0);
		size_t from = r->at + RECORD_HEADER, end, got;

		r->looks++;
		if (length <= 0)
			return length;
		end = from + (size_t)length;
		if (end > HELLO_MAX)
			return -HELLO_TOO_LARGE;

		err = message_look(r, buf + from, MIN((size_t)length, len - from));
		if (err)
			return err;
		got = r->got + (size_t)length;
		if (r->size && got > r->size)
			return -HELLO_MALFORMED;
		if (r->size > got && end + RECORD_HEADER + r->size - got > HELLO_MAX)
			return -HELLO_TOO_LARGE;
		if (end > len)
			return 0;

		r->at = (uint32_t)end;
		r->got = (uint32_t)got;
		if (got == r->size)
			return (int)end;
	}
}

/* ---- extensions ---------------------------------------------------------------------------- */

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* Host names as they are in use: with underscores. */
static bool is_name_byte(uint8_t c)
{
	return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.';
}

/* With brackets or without. IPv4 literals look like names. */
static bool is_ipv6(const char *name, size_t len)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr unused;

	if (len >= 2 && name[0] == '[' && name[len - 1] == ']') {
		name++;
		len -= 2;
	}
	if (len >= sizeof(text) || memchr(name, '\0', len))
		return false;
	memcpy(text, name, len);
	text[len] = '\0';
	return inet_pton(AF_INET6, text, &unused) == 1;
}

/* Labels with dots between, none of them empty. */
static bool is_host_name(const char *name, size_t len)
{
	char before = '.';

	for (size_t i = 0; i < len; i++) {
		if (!is_name_byte((uint8_t)name[i]) || (name[i] == '.' && before == '.'))
			return false;
		before = name[i];
	}
	return before != '.';
}

/* In place: lower case, the trailing dot gone. False: no name, and nothing was changed. */
static bool normalise_name(char *name, size_t len)
{
	if (len && name[len - 1] == '.')
		len--;
	if (!is_host_name(name, len) && !is_ipv6(name, len))
		return false;
	for (size_t i = 0; i < len; i++)
		if (is_letter((uint8_t)name[i]))
			name[i] |= 0x20;
	name[len] = '\0';
	return true;
}

/* What was sent instead of a name, as a string for who is to be told of it. */
static void show_name(const struct cursor *name, char ret[sizeof(((struct client_hello *)0)->sni)])
{
	static const char nul[] = "%00";
	struct cursor c = *name;
	size_t n = 0;
	uint8_t byte;

	while (take_u8(&c, &byte)) {
		size_t step = byte ? 1 : sizeof(nul) - 1;

		if (n + step >= sizeof(((struct client_hello *)0)->sni))
			break;
		memcpy(ret + n, byte ? (const char *)&byte : nul, step);
		n += step;
	}
	ret[n] = '\0';
}

static int parse_name(struct cursor *name, struct client_hello *h)
{
	size_t len = name->left;
	struct cursor sent = *name;

	if (len < sizeof(h->sni) && take(name, h->sni, len) && normalise_name(h->sni, len))
		return 0;
	show_name(&sent, h->sni);
	return -HELLO_BAD_SNI;
}

/*
 * A list that may hold one host name, and of which no other kind of name was ever defined. Some
 * clients that know no name say so by an extension, a list or a name without contents.
 */
static int parse_sni(struct cursor body, struct client_hello *h)
{
	struct cursor list, name;
	uint8_t type;

	if (!body.left)
		return 0;
	if (!take_vector16(&body, &list) || body.left)
		return -HELLO_BAD_SNI;
	if (!list.left)
		return 0;
	if (!take_u8(&list, &type) || type != NAME_TYPE_HOST)
		return -HELLO_BAD_SNI;
	if (!take_vector16(&list, &name) || list.left)
		return -HELLO_BAD_SNI;
	if (!name.left)
		return 0;

	return parse_name(&name, h);
}

static int parse_alpn(struct cursor body, struct client_hello *h)
{
	struct cursor list;

	if (!take_vector16(&body, &list) || body.left || !list.left)
		return -HELLO_BAD_ALPN;

	while (list.left) {
		char *to = h->alpn + h->alpn_len;
		struct cursor name;
		size_t len;

		if (!take_vector8(&list, &name) || !name.left)
			return -HELLO_BAD_ALPN;
		len = name.left;
		if (1 + len > sizeof(h->alpn) - h->alpn_len) {
			h->alpn_cut = true;
			continue;
		}
		to[0] = (char)len;
		(void)take(&name, to + 1, len);
		h->alpn_len = (uint16_t)(h->alpn_len + 1 + len);
	}
	return 0;
}

/* Where this extension is, it alone counts. Anything but 3.x is GREASE, a draft or a mistake. */
static int parse_versions(struct cursor body, struct client_hello *h)
{
	struct cursor list;
	uint16_t version;

	if (!take_vector8(&body, &list) || body.left || !list.left || list.left % 2)
		return -HELLO_MALFORMED;

	h->version = 0;
	while (take_u16(&list, &version))
		if (version >> 8 == VERSION_SSL3 >> 8)
			h->version = MAX(h->version, version);
	return 0;
}

static int parse_extension(uint16_t type, struct cursor body, struct client_hello *h)
{
	switch (type) {
	case EXT_SERVER_NAME:
		return parse_sni(body, h);
	case EXT_ALPN:
		return parse_alpn(body, h);
	case EXT_SUPPORTED_VERSIONS:
		return parse_versions(body, h);
	case EXT_ECH:
		h->ech = true;
		return 0;
	default:
		return 0;
	}
}

/* A bit for each extension that is read: of two, a server might take the other one. */
static unsigned int extension_bit(uint16_t type)
{
	switch (type) {
	case EXT_SERVER_NAME:
		return 1;
	case EXT_ALPN:
		return 2;
	case EXT_SUPPORTED_VERSIONS:
		return 4;
	case EXT_ECH:
		return 8;
	default:
		return 0;
	}
}

static int parse_extensions(struct cursor *c, struct client_hello *h)
{
	struct cursor list, body;
	unsigned int seen = 0;
	uint16_t type;

	if (!take_vector16(c, &list) || c->left)
		return -HELLO_MALFORMED;

	while (list.left) {
		int err;

		if (!take_u16(&list, &type) || !take_vector16(&list, &body))
			return -HELLO_MALFORMED;
		if (seen & extension_bit(type))
			return -HELLO_DUPLICATE_EXTENSION;
		seen |= extension_bit(type);
		err = parse_extension(type, body, h);
		if (err)
			return err;
	}
	return 0;
}

/* ---- the message --------------------------------------------------------------------------- */

static int parse_message(struct cursor *c, struct client_hello *h)
{
	struct cursor session_id, ciphers, compressions;
	uint16_t version;

	if (!take(c, NULL, MESSAGE_HEADER) || !take_u16(c, &version) || version < VERSION_SSL3)
		return -HELLO_MALFORMED;
	if (!take(c, NULL, RANDOM_SIZE))
		return -HELLO_MALFORMED;
	if (!take_vector8(c, &session_id) || session_id.left > SESSION_ID_MAX)
		return -HELLO_MALFORMED;
	if (!take_vector16(c, &ciphers) || !ciphers.left || ciphers.left % 2)
		return -HELLO_MALFORMED;
	if (!take_vector8(c, &compressions) || !compressions.left)
		return -HELLO_MALFORMED;

	/* From 1.3 on the field is a relic: what is above 1.2 is said in an extension. */
	h->version = MIN(version, VERSION_TLS12);
	return c->left ? parse_extensions(c, h) : 0;
}

int client_hello_read(struct hello_reader *r, const uint8_t *buf, size_t len,
		      struct client_hello *ret)
{
	struct client_hello h = {0};
	struct cursor c = {.at = buf};
	int err, end = find_end(r, buf, len);

	if (end <= 0)
		return end;
	c.left = r->size;
	err = parse_message(&c, &h);
	if (err == -HELLO_BAD_SNI)
		memcpy(ret->sni, h.sni, sizeof(ret->sni));
	if (err)
		return err;
	*ret = h;
	return end;
}

int client_hello_parse(const uint8_t *buf, size_t len, struct client_hello *ret)
{
	return client_hello_read(&(struct hello_reader){0}, buf, len, ret);
}

bool client_hello_has_alpn(const struct client_hello *h, const char *name)
{
	size_t len = strlen(name), n;

	for (size_t at = 0; at < h->alpn_len; at += 1 + n) {
		n = (uint8_t)h->alpn[at];
		if (n == len && memcmp(h->alpn + at + 1, name, len) == 0)
			return true;
	}
	return false;
}

size_t tls_alert_build(uint8_t buf[TLS_ALERT_BYTES], uint8_t description)
{
	const uint8_t alert[TLS_ALERT_BYTES] = {
	    RECORD_ALERT,  VERSION_TLS12 >> 8, VERSION_TLS12 & 0xff, 0, 2,
	    2 /* fatal */, description};

	memcpy(buf, alert, sizeof(alert));
	return sizeof(alert);
}

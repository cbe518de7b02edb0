// SPDX-License-Identifier: GPL-2.0-or-later
#include "hello.h"

#include <ctype.h>
#include <string.h>

#define RECORD_HEADER   5
#define RECORD_MAX      16384
#define TYPE_HANDSHAKE  22
#define TYPE_HELLO      1
#define EXT_SERVER_NAME 0
#define EXT_ALPN        16
#define EXT_VERSIONS    43
#define EXT_ECH         0xfe0d

const char *const hello_error_str[_HELLO_ERROR_MAX] = {
    [HELLO_OK] = "ok",
    [HELLO_NOT_TLS] = "not_tls",
    [HELLO_TOO_LARGE] = "too_large",
    [HELLO_BAD_RECORD] = "bad_record",
    [HELLO_BAD_LENGTH] = "bad_length",
    [HELLO_BAD_NAME] = "bad_name",
    [HELLO_BAD_ALPN] = "bad_alpn",
    [HELLO_BAD_EXTENSION] = "bad_extension",
};

/* ---- the bytes inside the records ------------------------------------------------------- */

/*
 * A position in the handshake message. Records may cut it anywhere, so bytes are fetched one span
 * at a time; `rest` is what is left of the vector that is being read.
 */
struct cursor {
	const uint8_t *at;
	size_t record; /* bytes left of the present record */
	size_t rest;
};

/* On to the next record; the caller has made sure that all of them are there. */
static void next_record(struct cursor *c)
{
	while (!c->record) {
		c->record = (size_t)(c->at[3] << 8 | c->at[4]);
		c->at += RECORD_HEADER;
	}
}

static bool get(struct cursor *c, void *ret, size_t n)
{
	uint8_t *to = ret;

	if (n > c->rest)
		return false;
	c->rest -= n;
	while (n) {
		size_t some;

		next_record(c);
		some = n < c->record ? n : c->record;
		if (to) {
			memcpy(to, c->at, some);
			to += some;
		}
		c->at += some;
		c->record -= some;
		n -= some;
	}
	return true;
}

static bool skip(struct cursor *c, size_t n)
{
	return get(c, NULL, n);
}

/* A length of `width` bytes, which must fit into what is left. */
static bool get_length(struct cursor *c, int width, size_t *ret)
{
	uint8_t b[3] = {0};

	if (!get(c, b + 3 - width, (size_t)width))
		return false;
	*ret = (size_t)b[0] << 16 | (size_t)b[1] << 8 | b[2];
	return *ret <= c->rest;
}

/* A vector inside: `inner` reads it, `c` goes on behind it. */
static bool enter(struct cursor *c, int width, struct cursor *inner)
{
	size_t n;

	if (!get_length(c, width, &n))
		return false;
	*inner = *c;
	inner->rest = n;
	return skip(c, n);
}

/* A vector of `min` to `max` bytes in units of `unit`, which is of no interest. */
static bool skip_vector(struct cursor *c, int width, size_t min, size_t max, size_t unit)
{
	size_t n;

	return get_length(c, width, &n) && n >= min && n <= max && n % unit == 0 && skip(c, n);
}

/* ---- extensions ------------------------------------------------------------------------- */

/* A host name as RFC 6066 has it, or an address, which should not be there but is. */
static bool is_name(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("-_.:", s[i]))
			return false;
	return len && s[0] != '.';
}

static enum hello_error read_sni(struct cursor *c, struct client_hello *h)
{
	struct cursor list;
	uint8_t type;
	size_t len;

	if (!enter(c, 2, &list) || c->rest || !list.rest)
		return HELLO_BAD_LENGTH;
	while (list.rest) {
		if (!get(&list, &type, 1) || !get_length(&list, 2, &len))
			return HELLO_BAD_LENGTH;
		if (type != 0) {
			(void)skip(&list, len);
			continue;
		}
		if (h->sni[0] || !len || len >= sizeof(h->sni))
			return HELLO_BAD_NAME;
		(void)get(&list, h->sni, len);
		if (memchr(h->sni, '\0', len) || !is_name(h->sni, len))
			return HELLO_BAD_NAME;
		if (len > 1 && h->sni[len - 1] == '.')
			len--;
		h->sni[len] = '\0';
		for (size_t i = 0; i < len; i++)
			h->sni[i] = (char)tolower((unsigned char)h->sni[i]);
	}
	return HELLO_OK;
}

static enum hello_error read_alpn(struct cursor *c, struct client_hello *h)
{
	struct cursor list;
	uint8_t name[256];

	if (!enter(c, 2, &list) || c->rest || !list.rest)
		return HELLO_BAD_ALPN;
	while (list.rest) {
		size_t len;

		if (!get_length(&list, 1, &len) || !len)
			return HELLO_BAD_ALPN;
		name[0] = (uint8_t)len;
		(void)get(&list, name + 1, len);
		if (h->alpn_len + len + 1 > sizeof(h->alpn))
			continue;
		memcpy(h->alpn + h->alpn_len, name, len + 1);
		h->alpn_len = (uint16_t)(h->alpn_len + len + 1);
	}
	return HELLO_OK;
}

/* GREASE (RFC 8701) is no version: 0x?a?a. */
static enum hello_error read_versions(struct cursor *c, struct client_hello *h)
{
	struct cursor list;
	uint8_t v[2];

	if (!enter(c, 1, &list) || c->rest)
		return HELLO_BAD_LENGTH;
	while (list.rest) {
		uint16_t version;

		if (!get(&list, v, 2))
			return HELLO_BAD_LENGTH;
		version = (uint16_t)(v[0] << 8 | v[1]);
		if (v[0] == 3 && version > h->version)
			h->version = version;
	}
	return HELLO_OK;
}

static enum hello_error read_extension(unsigned int type, struct cursor *c, struct client_hello *h,
				       uint8_t *seen)
{
	uint8_t bit;

	switch (type) {
	case EXT_SERVER_NAME:
		bit = 1;
		break;
	case EXT_ALPN:
		bit = 2;
		break;
	case EXT_VERSIONS:
		bit = 4;
		break;
	case EXT_ECH:
		h->ech = true;
		return HELLO_OK;
	default:
		return HELLO_OK;
	}
	if (*seen & bit)
		return bit == 1 ? HELLO_BAD_NAME : HELLO_BAD_EXTENSION;
	*seen |= bit;
	if (type == EXT_SERVER_NAME)
		return read_sni(c, h);
	return type == EXT_ALPN ? read_alpn(c, h) : read_versions(c, h);
}

static enum hello_error read_extensions(struct cursor *c, struct client_hello *h)
{
	struct cursor all, one;
	uint8_t type[2], seen = 0;
	enum hello_error err;

	if (!c->rest)
		return HELLO_OK; /* as old clients do */
	if (!enter(c, 2, &all) || c->rest)
		return HELLO_BAD_LENGTH;
	while (all.rest) {
		if (!get(&all, type, 2) || !enter(&all, 2, &one))
			return HELLO_BAD_LENGTH;
		err = read_extension((unsigned int)(type[0] << 8 | type[1]), &one, h, &seen);
		if (err)
			return err;
	}
	return HELLO_OK;
}

/* version, random, session id, cipher suites, compression methods, extensions */
static enum hello_error read_hello(struct cursor *c, struct client_hello *h)
{
	uint8_t version[2];

	if (!get(c, version, 2) || !skip(c, 32) || !skip_vector(c, 1, 0, 32, 1) ||
	    !skip_vector(c, 2, 2, 65534, 2) || !skip_vector(c, 1, 1, 255, 1))
		return HELLO_BAD_LENGTH;
	if (version[0] != 3)
		return HELLO_NOT_TLS;
	h->version = (uint16_t)(version[0] << 8 | version[1]);
	return read_extensions(c, h);
}

/* ---- records ---------------------------------------------------------------------------- */

/* What can be said of a record by the first bytes of its header. */
static enum hello_error check_record(const uint8_t *r, size_t len, bool first)
{
	size_t n;

	if (len > 0 && r[0] != TYPE_HANDSHAKE)
		return first ? HELLO_NOT_TLS : HELLO_BAD_RECORD;
	if (len > 1 && r[1] != 3)
		return first ? HELLO_NOT_TLS : HELLO_BAD_RECORD;
	if (len < RECORD_HEADER)
		return HELLO_OK;
	n = (size_t)(r[3] << 8 | r[4]);
	return n == 0 || n > RECORD_MAX ? HELLO_BAD_RECORD : HELLO_OK;
}

/* The handshake header's bytes as they come: type and length of the message. */
static enum hello_error check_message(const uint8_t head[4], size_t n, size_t *total)
{
	if (n > 0 && head[0] != TYPE_HELLO)
		return HELLO_NOT_TLS;
	if (n < 4)
		return HELLO_OK;
	*total = 4 + ((size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3]);
	return *total > HELLO_MAX ? HELLO_TOO_LARGE : HELLO_OK;
}

int client_hello_parse(const uint8_t *buf, size_t len, struct client_hello *ret)
{
	struct cursor c = {.at = buf};
	size_t at = 0, have = 0, total = 0;
	enum hello_error err;
	uint8_t head[4];

	/* Are all records here that the message needs? */
	do {
		size_t left = len - at, n;

		err = check_record(buf + at, left, at == 0);
		if (err)
			return -(int)err;
		if (left <= RECORD_HEADER)
			return 0;
		n = (size_t)(buf[at + 3] << 8 | buf[at + 4]);
		n = n < left - RECORD_HEADER ? n : left - RECORD_HEADER;
		for (size_t i = 0; i < n && have + i < 4; i++)
			head[have + i] = buf[at + RECORD_HEADER + i];
		have += n;
		err = check_message(head, have < 4 ? have : 4, &total);
		if (err)
			return -(int)err;
		at += RECORD_HEADER + n;
	} while (!total || have < total);

	*ret = (struct client_hello){0};
	c.rest = total;
	(void)skip(&c, 4);
	err = read_hello(&c, ret);
	return err ? -(int)err : (int)(c.at - buf);
}

bool client_hello_has_alpn(const struct client_hello *h, const char *name)
{
	size_t len = strlen(name);

	for (size_t at = 0; at < h->alpn_len; at += (uint8_t)h->alpn[at] + 1U)
		if ((uint8_t)h->alpn[at] == len && memcmp(h->alpn + at + 1, name, len) == 0)
			return true;
	return false;
}

size_t tls_alert_build(uint8_t buf[TLS_ALERT_BYTES], uint8_t description)
{
	const uint8_t alert[TLS_ALERT_BYTES] = {21, 3, 1, 0, 2, 2, description};

	memcpy(buf, alert, sizeof(alert));
	return sizeof(alert);
}

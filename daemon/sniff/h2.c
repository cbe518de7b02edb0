/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "h2.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

#include "../http/syntax.h"
#include "h2frame.h"
#include "util.h"

#define PREFACE      NGHTTP2_CLIENT_MAGIC
#define PREFACE_LEN  ((size_t)NGHTTP2_CLIENT_MAGIC_LEN)
#define FRAME_MAX    16384 /* until a server's SETTINGS say more */
#define FRAMES_MAX   64
#define PRIORITY_LEN 5
#define FIELD_EXTRA  32 /* what RFC 9113, 6.5.2 adds to the bytes of each field */

const char *const h2_error_str[_H2_ERROR_MAX] = {
    [H2_OK] = "ok",
    [H2_NOT_H2] = "not_h2",
    [H2_TOO_LARGE] = "too_large",
    [H2_TOO_MANY_FRAMES] = "too_many_frames",
    [H2_BAD_FRAME] = "bad_frame",
    [H2_UNEXPECTED_FRAME] = "unexpected_frame",
    [H2_BAD_HPACK] = "bad_hpack",
    [H2_BAD_FIELD] = "bad_field",
    [H2_BAD_PSEUDO] = "bad_pseudo",
    [H2_BAD_METHOD] = "bad_method",
    [H2_BAD_AUTHORITY] = "bad_authority",
    [H2_BAD_PATH] = "bad_path",
    [H2_TWO_HOSTS] = "two_hosts",
    [H2_NO_MEMORY] = "no_memory",
};

enum pseudo { PSEUDO_METHOD, PSEUDO_SCHEME, PSEUDO_AUTHORITY, PSEUDO_PATH, _PSEUDO_MAX };

static const char *const pseudo_str[_PSEUDO_MAX] = {
    [PSEUDO_METHOD] = ":method",
    [PSEUDO_SCHEME] = ":scheme",
    [PSEUDO_AUTHORITY] = ":authority",
    [PSEUDO_PATH] = ":path",
};

/* What the fields decoded so far say. */
struct head {
	struct h2_request request;
	char host[sizeof(((struct h2_request *)NULL)->authority)];
	unsigned int pseudos; /* bits by enum pseudo */
	bool ordinary;        /* a field that is no pseudo field was there */
	size_t bytes;
};

/* ---- frames ---- */

static int frame_if(bool good)
{
	return good ? 0 : -H2_BAD_FRAME;
}

/* A frame ahead of the first HEADERS, or that HEADERS, by what its header says. */
static int check_lead(const struct h2_frame *f)
{
	switch (f->type) {
	case NGHTTP2_SETTINGS:
		if (f->flags & NGHTTP2_FLAG_ACK)
			return frame_if(f->stream == 0 && f->len == 0);
		return frame_if(f->stream == 0 && f->len % 6 == 0);
	case NGHTTP2_WINDOW_UPDATE: /* of the connection: no stream is open yet */
		return frame_if(f->stream == 0 && f->len == 4);
	case NGHTTP2_PING:
		return frame_if(f->stream == 0 && f->len == 8);
	case NGHTTP2_PRIORITY:
		return frame_if(f->stream != 0 && f->len == PRIORITY_LEN);
	case NGHTTP2_HEADERS:
		return frame_if(f->stream % 2 == 1);
	case NGHTTP2_DATA:
	case NGHTTP2_RST_STREAM:
	case NGHTTP2_PUSH_PROMISE:
	case NGHTTP2_GOAWAY:
	case NGHTTP2_CONTINUATION:
		return -H2_UNEXPECTED_FRAME;
	default:
		return 0; /* an extension, which who does not know it ignores */
	}
}

static int check_frame_header(const struct h2_frame *f, const struct h2_reader *r)
{
	if (f->len > FRAME_MAX)
		return -H2_BAD_FRAME;
	if (r->head_at)
		return f->type == NGHTTP2_CONTINUATION && f->stream == r->stream
			   ? 0
			   : -H2_UNEXPECTED_FRAME;
	/* The SETTINGS that belong to the preface acknowledge nothing. */
	if (!r->frames && (f->type != NGHTTP2_SETTINGS || (f->flags & NGHTTP2_FLAG_ACK)))
		return -H2_UNEXPECTED_FRAME;
	return check_lead(f);
}

/* Takes a HEADERS' padding and priority away. */
static int strip_headers(struct h2_frame *f)
{
	uint32_t padding = 0;

	if (f->flags & NGHTTP2_FLAG_PADDED) {
		if (f->len == 0)
			return -H2_BAD_FRAME;
		padding = f->payload[0];
		f->payload++;
		f->len--;
	}
	if (f->flags & NGHTTP2_FLAG_PRIORITY) {
		if (f->len < PRIORITY_LEN)
			return -H2_BAD_FRAME;
		f->payload += PRIORITY_LEN;
		f->len -= PRIORITY_LEN;
	}
	if (padding > f->len)
		return -H2_BAD_FRAME;
	f->len -= padding;
	return 0;
}

/* A frame with its payload; 1: the head ends with it. */
static int take_frame(const struct h2_frame *f, struct h2_reader *r)
{
	struct h2_frame bare = *f;
	int err;

	if (f->type == NGHTTP2_WINDOW_UPDATE)
		return frame_if((h2_u32(f->payload) & H2_STREAM_MASK) != 0);
	if (f->type != NGHTTP2_HEADERS && f->type != NGHTTP2_CONTINUATION)
		return 0;
	if (f->type == NGHTTP2_HEADERS) {
		err = strip_headers(&bare);
		if (err)
			return err;
		r->head_at = r->at;
		r->stream = f->stream;
	}
	return f->flags & NGHTTP2_FLAG_END_HEADERS ? 1 : 0;
}

/*
 * Walks the frames; > 0: where the head's last frame ends, 0: needs more, < 0: -enum h2_error. A
 * frame is done with, and *r moves behind it, when all of it is there.
 */
static int find_head(struct h2_reader *r, const uint8_t *buf, size_t len)
{
	while (r->frames < FRAMES_MAX) {
		struct h2_frame f;
		size_t end;
		int err;

		r->looks++;
		if (len - r->at < H2_FRAME_HEADER)
			return 0;
		f = h2_frame_at(buf + r->at);
		err = check_frame_header(&f, r);
		if (err)
			return err;
		end = r->at + H2_FRAME_HEADER + f.len;
		if (end > H2_BYTES_MAX)
			return -H2_TOO_LARGE;
		if (end > len)
			return 0;
		if (r->take_ack && h2_is_settings_ack(&f)) {
			r->ack_at = r->at;
			return 0;
		}
		err = take_frame(&f, r);
		if (err < 0)
			return err;
		r->at = (uint32_t)end;
		r->frames++;
		if (err > 0)
			return (int)end;
	}
	return -H2_TOO_MANY_FRAMES;
}

/* ---- fields ---- */

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(uint8_t c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_in(uint8_t c, const char *set)
{
	return c != '\0' && strchr(set, c);
}

static int take_authority(const nghttp2_nv *nv, char ret[sizeof(((struct head *)NULL)->host)])
{
	if (nv->valuelen >= sizeof(((struct head *)NULL)->host) ||
	    !authority_is_valid((const char *)nv->value, nv->valuelen, false))
		return -H2_BAD_AUTHORITY;
	for (size_t i = 0; i < nv->valuelen; i++) {
		uint8_t c = nv->value[i];

		ret[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	ret[nv->valuelen] = '\0';
	return 0;
}

static int take_method(const nghttp2_nv *nv, struct h2_request *req)
{
	if (nv->valuelen == 0 || nv->valuelen >= sizeof(req->method))
		return -H2_BAD_METHOD;
	for (size_t i = 0; i < nv->valuelen; i++)
		if (!is_alnum(nv->value[i]) && !is_in(nv->value[i], "!#$%&'*+-.^_`|~"))
			return -H2_BAD_METHOD;
	memcpy(req->method, nv->value, nv->valuelen);
	req->method[nv->valuelen] = '\0';
	return 0;
}

static int take_path(const nghttp2_nv *nv, struct h2_request *req)
{
	size_t n = MIN(nv->valuelen, sizeof(req->path) - 1);
	bool asterisk = nv->valuelen == 1 && nv->value[0] == '*';

	if (!asterisk && (nv->valuelen == 0 || nv->value[0] != '/'))
		return -H2_BAD_PATH;
	for (size_t i = 0; i < nv->valuelen; i++)
		if (nv->value[i] <= ' ' || nv->value[i] == 0x7f)
			return -H2_BAD_PATH;
	memcpy(req->path, nv->value, n);
	req->path[n] = '\0';
	return 0;
}

static bool is_named(const nghttp2_nv *nv, const char *name)
{
	return nv->namelen == strlen(name) && memcmp(nv->name, name, nv->namelen) == 0;
}

static int take_pseudo(const nghttp2_nv *nv, struct head *h)
{
	unsigned int p = 0;

	while (p < _PSEUDO_MAX && !is_named(nv, pseudo_str[p]))
		p++;
	if (p == _PSEUDO_MAX || h->ordinary || (h->pseudos & (1u << p)))
		return -H2_BAD_PSEUDO;
	h->pseudos |= 1u << p;
	switch ((enum pseudo)p) {
	case PSEUDO_METHOD:
		return take_method(nv, &h->request);
	case PSEUDO_AUTHORITY:
		return take_authority(nv, h->request.authority);
	case PSEUDO_PATH:
		return take_path(nv, &h->request);
	case PSEUDO_SCHEME:
	case _PSEUDO_MAX:
		break;
	}
	return 0;
}

static int take_field(const nghttp2_nv *nv, struct head *h)
{
	h->bytes += nv->namelen + nv->valuelen + FIELD_EXTRA;
	if (h->bytes > H2_BYTES_MAX)
		return -H2_TOO_LARGE;
	if (!nghttp2_check_header_name(nv->name, nv->namelen) ||
	    !nghttp2_check_header_value(nv->value, nv->valuelen))
		return -H2_BAD_FIELD;
	if (nv->name[0] == ':')
		return take_pseudo(nv, h);
	h->ordinary = true;
	if (!is_named(nv, "host"))
		return 0;
	return h->host[0] ? -H2_TWO_HOSTS : take_authority(nv, h->host);
}

static bool has(const struct head *h, enum pseudo p)
{
	return h->pseudos & (1u << p);
}

/* All fields are there: what is missing, and what contradicts another. */
static int finish_head(struct head *h)
{
	struct h2_request *req = &h->request;

	if (!has(h, PSEUDO_METHOD))
		return -H2_BAD_PSEUDO;
	if (strcmp(req->method, "CONNECT") == 0) {
		if (!has(h, PSEUDO_AUTHORITY) || has(h, PSEUDO_SCHEME) || has(h, PSEUDO_PATH))
			return -H2_BAD_PSEUDO;
	} else if (!has(h, PSEUDO_SCHEME) || !has(h, PSEUDO_PATH)) {
		return -H2_BAD_PSEUDO;
	}
	if (strcmp(req->path, "*") == 0 && strcmp(req->method, "OPTIONS") != 0)
		return -H2_BAD_PATH;
	if (!has(h, PSEUDO_AUTHORITY))
		memcpy(req->authority, h->host, sizeof(req->authority));
	else if (h->host[0] && strcmp(h->host, req->authority) != 0)
		return -H2_TWO_HOSTS;
	return 0;
}

/* ---- HPACK ---- */

static int inflate_part(nghttp2_hd_inflater *hd, const uint8_t *p, size_t len, bool last,
			struct head *h)
{
	int flags;

	do {
		nghttp2_nv nv;
		ssize_t n;
		int r;

		flags = NGHTTP2_HD_INFLATE_NONE;
		n = nghttp2_hd_inflate_hd2(hd, &nv, &flags, p, len, last);
		if (n < 0)
			return n == NGHTTP2_ERR_NOMEM ? -H2_NO_MEMORY : -H2_BAD_HPACK;
		p += n;
		len -= (size_t)n;
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT))
			continue;
		r = take_field(&nv, h);
		if (r < 0)
			return r;
	} while (!(flags & NGHTTP2_HD_INFLATE_FINAL) &&
		 (len > 0 || (flags & NGHTTP2_HD_INFLATE_EMIT)));
	return 0;
}

/* The frames from the HEADERS at buf + at to `end` are all there, and in order. */
static int inflate_head(const uint8_t *buf, size_t at, size_t end, struct head *h)
{
	nghttp2_hd_inflater *hd;
	int r = 0;

	if (nghttp2_hd_inflate_new(&hd) != 0)
		return -H2_NO_MEMORY;
	while (at < end && r == 0) {
		struct h2_frame f = h2_frame_at(buf + at);

		at += H2_FRAME_HEADER + f.len;
		if (f.type == NGHTTP2_HEADERS)
			r = strip_headers(&f);
		if (r == 0)
			r = inflate_part(hd, f.payload, f.len, at == end, h);
	}
	nghttp2_hd_inflate_del(hd);
	return r;
}

/* ---- the request ---- */

bool h2_preface_starts(const uint8_t *buf, size_t len)
{
	return memcmp(buf, PREFACE, MIN(len, PREFACE_LEN)) == 0;
}

int h2_request_read(struct h2_reader *r, const uint8_t *buf, size_t len, struct h2_request *ret)
{
	struct head head = {.bytes = 0};
	int end, err;

	len = MIN(len, H2_BYTES_MAX);
	if (!r->at) {
		if (!h2_preface_starts(buf, len))
			return -H2_NOT_H2;
		if (len < PREFACE_LEN)
			return 0;
		r->at = PREFACE_LEN;
	}
	end = find_head(r, buf, len);
	if (end == 0)
		return len == H2_BYTES_MAX ? -H2_TOO_LARGE : 0;
	if (end < 0)
		return end;
	err = inflate_head(buf, r->head_at, (size_t)end, &head);
	if (!err)
		err = finish_head(&head);
	if (err)
		return err;
	*ret = head.request;
	return end;
}

bool h2_request_awaited(const struct h2_reader *r, size_t len)
{
	return r->frames && !r->head_at && r->at == len;
}

int h2_request_parse(const uint8_t *buf, size_t len, struct h2_request *ret)
{
	return h2_request_read(&(struct h2_reader){0}, buf, len, ret);
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "h2.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

#define FRAME_HEADER 9
#define FRAME_MAX    16384 /* what a client may send before our SETTINGS could allow more */
#define FRAMES_MAX   64

static const uint8_t preface[24] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const char *const h2_error_str[_H2_ERROR_MAX] = {
    [H2_OK] = "ok",
    [H2_NO_PREFACE] = "no_preface",
    [H2_TOO_LARGE] = "too_large",
    [H2_BAD_FRAME] = "bad_frame",
    [H2_BAD_HPACK] = "bad_hpack",
    [H2_NO_REQUEST] = "no_request",
    [H2_OUT_OF_MEMORY] = "out_of_memory",
};

bool h2_preface_starts(const uint8_t *buf, size_t len)
{
	return memcmp(buf, preface, len < sizeof(preface) ? len : sizeof(preface)) == 0;
}

/* ---- HPACK ------------------------------------------------------------------------------ */

static void take(char *to, size_t size, const nghttp2_nv *nv)
{
	size_t n = nv->valuelen < size - 1 ? nv->valuelen : size - 1;

	/* A name with a zero in it is none. */
	if (to[0] || memchr(nv->value, '\0', n))
		return;
	memcpy(to, nv->value, n);
	to[n] = '\0';
}

static void use_field(const nghttp2_nv *nv, struct h2_request *r)
{
	static const struct {
		const char *name;
		size_t offset, size;
	} wanted[] = {
	    {":method", offsetof(struct h2_request, method), sizeof(r->method)},
	    {":authority", offsetof(struct h2_request, authority), sizeof(r->authority)},
	    {":path", offsetof(struct h2_request, path), sizeof(r->path)},
	    {"host", offsetof(struct h2_request, authority), sizeof(r->authority)},
	};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (strlen(wanted[i].name) == nv->namelen &&
		    memcmp(wanted[i].name, nv->name, nv->namelen) == 0)
			take((char *)r + wanted[i].offset, wanted[i].size, nv);
}

static enum h2_error inflate_piece(nghttp2_hd_inflater *hd, const uint8_t *in, size_t len,
				   bool last, struct h2_request *r)
{
	int flags = 0;

	do {
		nghttp2_nv nv;
		ssize_t n = nghttp2_hd_inflate_hd2(hd, &nv, &flags, in, len, last);

		if (n < 0)
			return n == NGHTTP2_ERR_NOMEM ? H2_OUT_OF_MEMORY : H2_BAD_HPACK;
		in += n;
		len -= (size_t)n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			use_field(&nv, r);
	} while (len || flags & NGHTTP2_HD_INFLATE_EMIT);
	return last && !(flags & NGHTTP2_HD_INFLATE_FINAL) ? H2_BAD_HPACK : H2_OK;
}

/* ---- frames ----------------------------------------------------------------------------- */

struct frame {
	size_t length;
	uint8_t type, flags;
	uint32_t stream;
	const uint8_t *payload;
};

/* 1: the frame is complete; 0: more is needed; -1: too large. */
static int read_frame(const uint8_t *buf, size_t len, size_t *at, struct frame *f)
{
	const uint8_t *b = buf + *at;

	if (len - *at < FRAME_HEADER)
		return 0;
	f->length = (size_t)b[0] << 16 | (size_t)b[1] << 8 | b[2];
	f->type = b[3];
	f->flags = b[4];
	f->stream =
	    ((uint32_t)b[5] & 0x7f) << 24 | (uint32_t)b[6] << 16 | (uint32_t)b[7] << 8 | b[8];
	f->payload = b + FRAME_HEADER;
	if (f->length > FRAME_MAX)
		return -1;
	if (len - *at - FRAME_HEADER < f->length)
		return 0;
	*at += FRAME_HEADER + f->length;
	return 1;
}

/* The block inside a HEADERS frame, without padding and priority. False: it does not fit. */
static bool cut_headers(struct frame *f)
{
	size_t pad = 0, skip = 0;

	if (f->flags & NGHTTP2_FLAG_PADDED) {
		if (f->length < 1)
			return false;
		pad = f->payload[0];
		skip = 1;
	}
	if (f->flags & NGHTTP2_FLAG_PRIORITY)
		skip += 5;
	if (skip + pad > f->length)
		return false;
	f->payload += skip;
	f->length -= skip + pad;
	return true;
}

/* HEADERS and what continues it. 1: the block is complete. */
static int read_block(const uint8_t *buf, size_t len, size_t at, struct frame f,
		      nghttp2_hd_inflater *hd, struct h2_request *r)
{
	uint32_t stream = f.stream;

	if (!stream || !cut_headers(&f))
		return -H2_BAD_FRAME;
	for (int i = 0; i < FRAMES_MAX; i++) {
		bool last = f.flags & NGHTTP2_FLAG_END_HEADERS;
		enum h2_error err = inflate_piece(hd, f.payload, f.length, last, r);
		int got;

		if (err)
			return -(int)err;
		if (last)
			return 1;
		got = read_frame(buf, len, &at, &f);
		if (got <= 0)
			return got < 0 ? -H2_BAD_FRAME : 0;
		if (f.type != NGHTTP2_CONTINUATION || f.stream != stream)
			return -H2_BAD_FRAME;
	}
	return -H2_BAD_FRAME;
}

static int read_frames(const uint8_t *buf, size_t len, nghttp2_hd_inflater *hd,
		       struct h2_request *r)
{
	size_t at = sizeof(preface);
	struct frame f;

	for (int i = 0; i < FRAMES_MAX; i++) {
		int got = read_frame(buf, len, &at, &f);

		if (got <= 0)
			return got < 0 ? -H2_BAD_FRAME : 0;
		if (f.type == NGHTTP2_HEADERS)
			return read_block(buf, len, at, f, hd, r);
		/* The preface goes on with SETTINGS; nothing else comes before it. */
		if (i == 0 && f.type != NGHTTP2_SETTINGS)
			return -H2_BAD_FRAME;
		if (f.type == NGHTTP2_DATA || f.type == NGHTTP2_CONTINUATION ||
		    f.type == NGHTTP2_PUSH_PROMISE)
			return -H2_BAD_FRAME;
	}
	return -H2_TOO_LARGE;
}

int h2_request_parse(const uint8_t *buf, size_t len, struct h2_request *ret)
{
	nghttp2_hd_inflater *hd;
	int r;

	if (!h2_preface_starts(buf, len))
		return -H2_NO_PREFACE;
	if (len < sizeof(preface) + FRAME_HEADER)
		return 0;
	if (nghttp2_hd_inflate_new(&hd) != 0)
		return -H2_OUT_OF_MEMORY;
	*ret = (struct h2_request){0};
	r = read_frames(buf, len < H2_MAX ? len : H2_MAX, hd, ret);
	nghttp2_hd_inflate_del(hd);
	if (r == 0)
		return len >= H2_MAX ? -H2_TOO_LARGE : 0;
	if (r < 0)
		return r;
	return ret->method[0] && (ret->path[0] || strcmp(ret->method, "CONNECT") == 0)
		   ? 1
		   : -H2_NO_REQUEST;
}

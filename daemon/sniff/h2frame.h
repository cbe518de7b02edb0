/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HTTP/2's frames as they are on the wire (RFC 9113, 4.1). */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

#define H2_FRAME_HEADER 9
#define H2_STREAM_MASK  0x7fffffff /* the bit above is reserved and says nothing */

struct h2_frame {
	uint32_t len; /* of the payload, which follows the header */
	uint8_t type;
	uint8_t flags;
	uint32_t stream;
	const uint8_t *payload;
};

static inline uint32_t h2_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* From the H2_FRAME_HEADER bytes at p; the payload need not be there. */
static inline struct h2_frame h2_frame_at(const uint8_t *p)
{
	return (struct h2_frame){
	    .len = h2_u32(p) >> 8,
	    .type = p[3],
	    .flags = p[4],
	    .stream = h2_u32(p + 5) & H2_STREAM_MASK,
	    .payload = p + H2_FRAME_HEADER,
	};
}

static inline bool h2_is_settings_ack(const struct h2_frame *f)
{
	return f->type == NGHTTP2_SETTINGS && f->flags & NGHTTP2_FLAG_ACK && !f->len && !f->stream;
}

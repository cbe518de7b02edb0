// SPDX-License-Identifier: GPL-2.0-or-later
#include "h2ack.h"

#include <stdlib.h>
#include <string.h>

#include "../util.h"
#include "h2frame.h"

_Static_assert(H2_FRAME_HEADER <= STREAM_FILTER_ROOM, "what is held back fits in front");

const uint8_t h2_empty_settings[H2_SETTINGS_BYTES] = {0, 0, 0, NGHTTP2_SETTINGS};
const uint8_t h2_goaway[H2_GOAWAY_BYTES] = {0, 0, 8, NGHTTP2_GOAWAY};

struct h2_ack {
	struct stream_filter filter;
	uint32_t left; /* bytes of the present frame's payload that are to come */
	uint32_t seen;
	uint8_t n_held;
	uint8_t held[H2_FRAME_HEADER];
};

/* What was held back goes in front of what has come. */
static void unhold(struct h2_ack *a, char **data, size_t *len)
{
	*data -= a->n_held;
	memcpy(*data, a->held, a->n_held);
	*len += a->n_held;
	a->n_held = 0;
}

static bool pass(struct stream_filter *f, char **data, size_t *len, bool ended)
{
	struct h2_ack *a = container_of(f, struct h2_ack, filter);
	size_t at = 0;
	uint8_t *buf;

	unhold(a, data, len);
	if (ended || a->seen + *len > H2_ACK_BYTES_MAX)
		return false;
	a->seen += (uint32_t)*len;
	buf = (uint8_t *)*data;
	for (;;) {
		size_t skip = MIN(a->left, *len - at);
		struct h2_frame frame;

		at += skip;
		a->left -= (uint32_t)skip;
		if (*len - at < H2_FRAME_HEADER)
			break;
		frame = h2_frame_at(buf + at);
		if (h2_is_settings_ack(&frame)) {
			*len -= H2_FRAME_HEADER;
			memmove(buf + at, buf + at + H2_FRAME_HEADER, *len - at);
			return false;
		}
		at += H2_FRAME_HEADER;
		a->left = frame.len;
	}
	/* Nothing is left over within a payload. */
	a->n_held = (uint8_t)(*len - at);
	memcpy(a->held, buf + at, a->n_held);
	*len = at;
	return true;
}

struct stream_filter *h2_ack_filter(void)
{
	struct h2_ack *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->filter.pass = pass;
	return &a->filter;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HTTP/2's SETTINGS in the server's place. A client may wait for them before it sends its first
 * request, and without that nobody knows which server is to send them. So the daemon sends some
 * that say nothing. The client's acknowledgement of them is none of the server's business and is
 * taken out of what it sends; acknowledgements come in order, so it is the first.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../splice/stream.h"

#define H2_SETTINGS_BYTES 9
/* A client that has sent so much without an acknowledgement will not send one. */
#define H2_ACK_BYTES_MAX (1024 * 1024)

extern const uint8_t h2_empty_settings[H2_SETTINGS_BYTES];

#define H2_GOAWAY_BYTES 17
/* The connection ends, and no request on it was looked at: they may be sent again elsewhere. */
extern const uint8_t h2_goaway[H2_GOAWAY_BYTES];

/*
 * A filter for what follows the head of the first request: takes the first acknowledgement out, and
 * is done with that, or after H2_ACK_BYTES_MAX. Bytes of a frame's header that is not all there are
 * held back. NULL: out of memory. Freed with free().
 */
struct stream_filter *h2_ack_filter(void);

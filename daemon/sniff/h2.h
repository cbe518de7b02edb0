/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first request of an HTTP/2 connection with prior knowledge (RFC 9113), as far as a route
 * needs it. The bytes stay the server's, but for the one frame that h2ack.h is about.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More of a stream than this is never looked at, and the fields decoded from it are not more. */
#define H2_BYTES_MAX 65536

struct h2_request {
	char method[32];
	char authority[256]; /* :authority, else Host; lower case, port kept; "" absent */
	char path[1024];     /* cut where it is longer; "" for CONNECT */
};

enum h2_error {
	H2_OK,
	H2_NOT_H2,           /* the preface is another */
	H2_TOO_LARGE,        /* H2_BYTES_MAX, on the wire or decoded */
	H2_TOO_MANY_FRAMES,  /* before the head was complete */
	H2_BAD_FRAME,        /* length, stream, padding or contents are not its type's */
	H2_UNEXPECTED_FRAME, /* not at this place */
	H2_BAD_HPACK,
	H2_BAD_FIELD,  /* a name or value with bytes that no field has */
	H2_BAD_PSEUDO, /* unknown, twice, missing, or after an ordinary field */
	H2_BAD_METHOD,
	H2_BAD_AUTHORITY,
	H2_BAD_PATH,
	H2_TWO_HOSTS, /* Host twice, or another than :authority */
	H2_NO_MEMORY,
	_H2_ERROR_MAX,
};

extern const char *const h2_error_str[_H2_ERROR_MAX];

/*
 * A reading that is under way: where it stopped for want of bytes. All zeros at the beginning of a
 * stream; to be asked again only after an answer of 0.
 */
struct h2_reader {
	uint32_t at;      /* the frame that was not all there begins here; 0: at the preface */
	uint32_t head_at; /* the first HEADERS; 0: none has come */
	uint32_t stream;  /* its stream */
	uint32_t frames;  /* that are behind us */
	uint32_t looks;   /* at frames: a reading costs these and one pass over the head */
	uint32_t ack_at;  /* an acknowledgement of SETTINGS begins here, to be taken out; 0: none */
	bool take_ack;    /* stop at the next of those: see h2ack.h */
};

/*
 * Reads on in a stream, of which buf holds everything from its first byte on. > 0: *ret is the
 * request, and its head ends there; 0: needs more, never for H2_BYTES_MAX and up; < 0: -enum
 * h2_error, as early as it is certain. *ret is written for > 0 only. The answer for a stream never
 * changes once it is not 0, whatever the pieces it came in. Memory for HPACK (some 10 KiB) is
 * allocated and freed inside, once the head is complete: the calls before that cost a look at each
 * frame that has become complete, and at one more.
 *
 * With r->take_ack an answer of 0 may mean that r->ack_at is set: the frame header there, which is
 * a whole frame, is to be taken out of the stream and ack_at to be cleared before it is read on.
 */
int h2_request_read(struct h2_reader *r, const uint8_t *buf, size_t len, struct h2_request *ret);

/* The same of a stream that is read for the first time. */
int h2_request_parse(const uint8_t *buf, size_t len, struct h2_request *ret);

/*
 * Whether the client, of which `len` bytes have come, has sent its SETTINGS, and all of what it has
 * begun, but no request: it may be waiting for the server's SETTINGS.
 */
bool h2_request_awaited(const struct h2_reader *r, size_t len);

/* The bytes so far are a beginning of the client's preface, or begin with all of it. */
bool h2_preface_starts(const uint8_t *buf, size_t len);

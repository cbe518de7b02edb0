/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HTTP/2 with prior knowledge: what the first request asks for. HPACK is libnghttp2's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct h2_request {
	char method[32];
	char authority[256]; /* with its port */
	char path[1024];     /* cut to fit */
};

enum h2_error {
	H2_OK,
	H2_NO_PREFACE,
	H2_TOO_LARGE, /* no complete request head in H2_MAX */
	H2_BAD_FRAME, /* one that cannot stand here */
	H2_BAD_HPACK,
	H2_NO_REQUEST, /* pseudo fields are missing */
	H2_OUT_OF_MEMORY,
	_H2_ERROR_MAX,
};
extern const char *const h2_error_str[_H2_ERROR_MAX];

#define H2_MAX 65536

/* > 0: it is known. 0: more is needed. < 0: -enum h2_error. Each call begins anew. */
int h2_request_parse(const uint8_t *buf, size_t len, struct h2_request *ret);
/* Whether these bytes are the beginning of the preface, as far as they go. */
bool h2_preface_starts(const uint8_t *buf, size_t len);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a server answers to a check: readers of its first bytes, which may be any. Of all that have
 * come they say the same whatever the pieces, and look no further than they must.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* No answer needs more: an HTTP head before the final one (103) may be long. */
#define ANSWER_MAX 4096

enum answer {
	ANSWER_MORE, /* so far so good; never of ANSWER_MAX bytes */
	ANSWER_GOOD,
	ANSWER_BAD,
};

/* The status of a response of HTTP/1.x; interim ones (1xx but 101) are passed over. ANSWER_GOOD:
 * *status is written, 100 to 999. */
enum answer answer_http(const uint8_t *buf, size_t len, unsigned int *status);

/* The beginning of a TLS record with a ServerHello (a HelloRetryRequest is one). ANSWER_BAD: *alert
 * is the description of the alert that came instead, or -1. */
enum answer answer_tls(const uint8_t *buf, size_t len, int *alert);

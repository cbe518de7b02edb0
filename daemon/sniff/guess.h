/* SPDX-License-Identifier: GPL-2.0-or-later */
/* protocol = auto: what a client's first bytes look like. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum guess {
	GUESS_MORE,  /* too few bytes to tell */
	GUESS_TLS,   /* a handshake record */
	GUESS_HTTP,  /* a request line of HTTP/1.x, or the preface of HTTP/2 */
	GUESS_OTHER, /* neither: not looked into */
};

/*
 * Says nothing about whether the rest is well-formed. HTTP is told by its whole first line, which
 * must be no longer than GUESS_LINE_MAX: other protocols begin with upper-case words, too. Empty
 * lines in front of it, of which HTTP servers skip some or all, are a part of it, however many.
 *
 * buf is all that has come. *scanned is how much of it was looked at before without finding the
 * line's end, 0 at the beginning: whatever the pieces, each byte is looked at once.
 */
enum guess guess_protocol(const uint8_t *buf, size_t len, size_t *scanned);

/* Whether it is nothing but line ends. */
bool guess_is_empty(const uint8_t *buf, size_t len);

#define GUESS_LINE_MAX 16384

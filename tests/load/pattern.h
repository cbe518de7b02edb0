/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the bytes of a stream are. A stream is named by (seed, number, direction); its first 16
 * bytes say so, and every byte after them follows from the name and its own position, so a byte
 * that is lost, repeated, moved or taken from another stream is seen where it happens.
 *
 *	0     3     4         8                16
 *	| SPL | dir | number  | seed           | mix(key, 2) | mix(key, 3) | ...
 *
 * Numbers are little endian. The word at index i (position 8 i) is a bijection of i, so no two
 * words of one stream are equal.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_HEAD 16u /* bytes that name the stream */

enum pattern_dir {
	PATTERN_UP,        /* client to server; number: the session */
	PATTERN_DOWN,      /* server to client; number: the session */
	PATTERN_BY_ACCEPT, /* server to client, server speaks first; number: the order of accept */
	_PATTERN_DIR_MAX
};

extern const char *const pattern_dir_str[_PATTERN_DIR_MAX];

struct pattern {
	uint64_t key;
	uint64_t head[PATTERN_HEAD / 8]; /* as they are in memory */
	uint32_t number;
	enum pattern_dir dir;
};

void pattern_init(struct pattern *p, uint64_t seed, uint32_t number, enum pattern_dir dir);

/* Writes the bytes at [pos, pos + len) to buf. */
void pattern_fill(const struct pattern *p, uint64_t pos, void *buf, size_t len);

/* The index of the first byte of buf that is not the stream's byte at pos + index; len if none. */
size_t pattern_check(const struct pattern *p, uint64_t pos, const void *buf, size_t len);

/* Reads the name out of a stream's first 16 bytes; false if these are no such bytes. */
bool pattern_parse_head(const uint8_t head[PATTERN_HEAD], uint64_t seed, enum pattern_dir *ret_dir,
			uint32_t *ret_number);

/*
 * Looks for the `len` bytes at `buf` (16 is enough to be sure) in the stream, from `window` bytes
 * before pos to `window` after. True and the nearest place found before or else after pos.
 */
bool pattern_locate(const struct pattern *p, uint64_t pos, size_t window, const void *buf,
		    size_t len, uint64_t *ret_pos);

/* A small random number generator (splitmix64), for write sizes and pauses. */
uint64_t pattern_random(uint64_t *state);

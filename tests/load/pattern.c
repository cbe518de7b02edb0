/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"

#define STEP UINT64_C(0x9e3779b97f4a7c15) /* odd: i * STEP is a bijection */
#define MIX  UINT64_C(0xbf58476d1ce4e5b9)

const char *const pattern_dir_str[_PATTERN_DIR_MAX] = {
    [PATTERN_UP] = "up",
    [PATTERN_DOWN] = "down",
    [PATTERN_BY_ACCEPT] = "down by accept",
};

static const char dir_letter[_PATTERN_DIR_MAX] = {
    [PATTERN_UP] = 'u',
    [PATTERN_DOWN] = 'd',
    [PATTERN_BY_ACCEPT] = 'a',
};

/* One multiplication a word, so that the processor's time goes to the proxy under test. */
static inline uint64_t scramble(uint64_t x)
{
	x ^= x >> 32;
	x *= MIX;
	x ^= x >> 29;
	return htole64(x);
}

static inline uint64_t word_at(const struct pattern *p, uint64_t index)
{
	return index < PATTERN_HEAD / 8 ? p->head[index] : scramble(p->key + index * STEP);
}

static inline uint8_t byte_at(const struct pattern *p, uint64_t pos)
{
	uint64_t word = word_at(p, pos / 8);

	return ((const uint8_t *)&word)[pos % 8];
}

uint64_t pattern_random(uint64_t *state)
{
	uint64_t x = *state += STEP;

	x = (x ^ (x >> 30)) * MIX;
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

void pattern_init(struct pattern *p, uint64_t seed, uint32_t number, enum pattern_dir dir)
{
	uint64_t state = seed ^ ((uint64_t)number << 8 | (uint64_t)dir) * MIX;
	uint8_t head[PATTERN_HEAD] = {'S', 'P', 'L', (uint8_t)dir_letter[dir]};
	uint32_t number_le = htole32(number);
	uint64_t seed_le = htole64(seed);

	memcpy(head + 4, &number_le, sizeof(number_le));
	memcpy(head + 8, &seed_le, sizeof(seed_le));
	memcpy(p->head, head, sizeof(head));
	p->key = pattern_random(&state);
	p->number = number;
	p->dir = dir;
}

void pattern_fill(const struct pattern *p, uint64_t pos, void *buf, size_t len)
{
	uint8_t *out = buf;
	uint64_t x;

	for (; len && (pos < PATTERN_HEAD || pos % 8); len--)
		*out++ = byte_at(p, pos++);
	x = p->key + pos / 8 * STEP;
	for (; len >= 8; len -= 8, pos += 8, out += 8, x += STEP) {
		uint64_t word = scramble(x);

		memcpy(out, &word, sizeof(word));
	}
	for (; len; len--)
		*out++ = byte_at(p, pos++);
}

size_t pattern_check(const struct pattern *p, uint64_t pos, const void *buf, size_t len)
{
	const uint8_t *in = buf;
	size_t i = 0;
	uint64_t x;

	for (; i < len && (pos + i < PATTERN_HEAD || (pos + i) % 8); i++) {
		if (in[i] != byte_at(p, pos + i))
			return i;
	}
	x = p->key + (pos + i) / 8 * STEP;
	for (; i + 8 <= len; i += 8, x += STEP) {
		uint64_t word;

		memcpy(&word, in + i, sizeof(word));
		if (word != scramble(x))
			break;
	}
	for (; i < len; i++) {
		if (in[i] != byte_at(p, pos + i))
			return i;
	}
	return len;
}

bool pattern_parse_head(const uint8_t head[PATTERN_HEAD], uint64_t seed, enum pattern_dir *ret_dir,
			uint32_t *ret_number)
{
	const char *letter = memchr(dir_letter, head[3], sizeof(dir_letter));
	uint64_t seed_le;
	uint32_t number_le;

	memcpy(&number_le, head + 4, sizeof(number_le));
	memcpy(&seed_le, head + 8, sizeof(seed_le));
	if (memcmp(head, "SPL", 3) != 0 || !letter || le64toh(seed_le) != seed)
		return false;
	*ret_dir = (enum pattern_dir)(letter - dir_letter);
	*ret_number = le32toh(number_le);
	return true;
}

bool pattern_locate(const struct pattern *p, uint64_t pos, size_t window, const void *buf,
		    size_t len, uint64_t *ret_pos)
{
	uint64_t start = pos > window ? pos - window : 0;
	size_t size = (size_t)(pos - start) + window + len;
	uint8_t *expected = malloc(size), *from = expected, *hit, *best = NULL;

	if (!expected)
		return false;
	pattern_fill(p, start, expected, size);
	while ((hit = memmem(from, size - (size_t)(from - expected), buf, len))) {
		best = hit;
		if (start + (uint64_t)(hit - expected) >= pos)
			break;
		from = hit + 1;
	}
	if (best)
		*ret_pos = start + (uint64_t)(best - expected);
	free(expected);
	return best != NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A set of texts, made for the question which of them another one begins with: thousands cost no
 * more than tens. Each leads to some numbers. Built once, read by anybody.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct prefixes;

struct prefix {
	const char *text; /* the caller's */
	size_t len;
	const struct prefix *shorter; /* the longest other one that it begins with; NULL: none */
	const uint32_t *numbers;      /* ascending */
	size_t n;
	uint32_t least; /* of its own numbers, and those of all that are shorter */
};

/* A text and a number that it leads to. Texts may come several times. */
struct prefix_entry {
	const char *text;
	size_t len;
	uint32_t number;
};

/* Sorts the entries, which are the caller's; the texts must outlive the set. NULL: out of memory.
 */
struct prefixes *prefixes_new(struct prefix_entry *entries, size_t n);
void prefixes_free(struct prefixes *p);
/* The longest one that the text begins with; with `shorter` that is all of them. NULL: none. */
const struct prefix *prefixes_find(const struct prefixes *p, const char *text, size_t len);

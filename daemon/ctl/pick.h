/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which sessions are shown, and in which order. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PICK_FILTERS_MAX 8
#define PICK_WHY_MAX     160

struct pick_key;

enum pick_is { PICK_EQUAL, PICK_DIFFERENT, PICK_LESS, PICK_MORE };

struct pick_filter {
	const struct pick_key *key;
	enum pick_is is;
	const char *pattern; /* of a text */
	int64_t number;      /* of the others */
};

/* Zeroed: all of them, as they come. */
struct pick {
	struct pick_filter filters[PICK_FILTERS_MAX];
	size_t n_filters;
	const struct pick_key *sort; /* NULL: as they come */
	bool reversed;
	size_t limit; /* 0: none */
};

/*
 * "KEY=VALUE", "KEY!=VALUE", "KEY<VALUE" or "KEY>VALUE", which must be true of a session; the text
 * must last as long as the pick. 0 or -EINVAL, which `why` explains.
 */
int pick_add_filter(struct pick *p, const char *text, char why[PICK_WHY_MAX]);
/* "KEY" or "-KEY", the other way round. The same. */
int pick_set_sort(struct pick *p, const char *text, char why[PICK_WHY_MAX]);
/* Whether `rate`, which only top knows, is among the keys. */
bool pick_needs_rate(const struct pick *p);

/* A new array of those of the array that are picked; NULL: out of memory. */
json_t *pick_sessions(const struct pick *p, const json_t *sessions);

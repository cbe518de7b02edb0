/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A change of an address's health as a line of the log: gathered under the lock, written without.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "health.h"

struct addr;
struct pool_config;

/* How many lines a server had lately. */
struct news_quota {
	uint64_t since_ns;  /* when the changes began that `told` counts */
	unsigned int told;  /* changes that were logged since */
	unsigned int quiet; /* changes that were not */
};

/* All zero: there is none. */
struct news {
	bool any;
	enum health_state was, is;
	unsigned int fails, row, quiet;
	unsigned int need; /* checks in a row that bring it to the end of this */
	uint64_t time_ns;
	char why[CHECK_WORDS_MAX];
};

/* The address was so until now. Under the lock. */
void news_note(struct news *n, struct news_quota *quota, const struct health *h,
	       const struct pool_config *c, enum health_state was, uint64_t now);
/* Without the lock. `where`: of a server with several addresses, the one that it is about; or NULL.
 */
void news_tell(const struct news *n, const char *pool, const char *server,
	       const struct addr *where);

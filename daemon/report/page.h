/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The status page, and what it asks for again and again. Main thread only. */
#pragma once

#include <stddef.h>

struct addr;
struct daemon;
struct doctor;

#define PAGE_NONCE_MAX 33

/* Of one answer: the page's own style and script are marked with it, and no other is run. */
void page_nonce(char ret[PAGE_NONCE_MAX]);
/* The caller owns the text, here and below; NULL: out of memory. */
char *page_html(const char *nonce, size_t *ret_len);
/*
 * The JSON document: `status` and `stats` as the commands of these names answer, as of the last
 * tally, and `not_ready`, why clients that come now are not served ("": they are).
 */
char *page_json(struct daemon *d, const struct doctor *doctor, const struct addr *where,
		const char *not_ready, size_t *ret_len);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where connects go: a network and ports of it, as in `outbound =`. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "../addr.h"
#include "../cidr.h"
#include "text.h"

struct destination {
	struct cidr network; /* its family is 0: every address */
	uint16_t first, last;
};

extern const char destination_allowed[];

/* 0, or -EINVAL with the reason added, and *ret is untouched. */
int destination_parse(const char *text, struct destination *ret, struct text *why);
/* Writes it so that it can be read again. */
void destination_format(const struct destination *d, FILE *out);
/* PORT, FIRST-LAST or *. The same. */
int ports_parse(const char *text, uint16_t *first, uint16_t *last);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The value of `route =`: MATCHERS -> POOL. */
#pragma once

#include "table.h"
#include "text.h"

/* What documents say about a matcher. */
struct match_info {
	const char *form, *help;
};
extern const struct match_info match_infos[_MATCH_KIND_MAX];

/* Adds the syntax of a route. */
void route_add_allowed(struct text *t);

/* Parses a whole line. Returns 0, -ENOMEM, or -EINVAL with the reason added; *ret is untouched. */
int route_parse(const char *text, struct route_config *ret, struct text *why);
/* Orders routes by their matchers alone: 0 if both match the same. */
int route_compare(const struct route_config *a, const struct route_config *b);
void route_format(const struct route_config *r, FILE *out);
/* Frees what the route owns, not the struct itself. */
void route_clear(struct route_config *r);
/* The first matcher that a listener of this protocol can never see; NULL: none. */
const struct route_match *route_unseen(const struct route_config *r,
				       enum listener_protocol protocol);

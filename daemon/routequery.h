/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a route is looked for with: see route.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addr;

/* What is known of a session or request. NULL: it is not known, and no matcher for it holds. */
struct route_query {
	const char *sni, *host; /* lower case, without port and trailing dot */
	const char *path, *method;
	size_t path_len, method_len;
	const char *alpn; /* names as on the wire, each after its length */
	uint16_t alpn_len;
	const struct addr *src;
	const struct addr *dst; /* where the client wanted to go */
	/* Whether there is such a header field, with this value unless it is NULL. */
	bool (*header)(void *arg, const char *name, const char *value);
	void *arg;
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Networks, as `allow`, `deny`, `dst:` and the like have them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"

/* A network: 10.0.0.0/8, ::1 (a bare address is the whole length), or `unix`. */
struct cidr {
	int family; /* AF_INET, AF_INET6, AF_UNIX */
	uint8_t prefix;
	uint8_t bytes[16];
};

/* -EINVAL and *why on bad text; host bits that are set beyond the prefix are an error too. */
int cidr_parse(const char *text, struct cidr *ret, const char **why);
const char *cidr_format(const struct cidr *c, char buf[ADDR_STR_MAX]);
bool cidr_equal(const struct cidr *a, const struct cidr *b);
/* IPv4-mapped IPv6 addresses match IPv4 networks. */
bool cidr_match(const struct cidr *c, const struct addr *a);

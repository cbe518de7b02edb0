/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sets of IP addresses, as names have them. */
#pragma once

#include "addr.h"

/* Of more addresses, those that come first are kept: the same ones in whatever order they come. */
#define IPS_MAX 64

/* memcmp() orders and compares these: no padding, unused bytes are zero, IPv4 comes first. */
struct ip {
	uint8_t family;
	uint8_t bytes[16];
};

struct ip_set { /* sorted, each address once */
	size_t n;
	bool cut; /* there were more than IPS_MAX */
	struct ip ips[IPS_MAX];
};

/* 4 bytes for AF_INET, 16 for AF_INET6. */
void ips_add(struct ip_set *set, int family, const void *bytes);
/* False: it is not the text of an address. */
bool ips_add_text(struct ip_set *set, const char *text);
/* Adds one family's addresses. */
void ips_add_family(struct ip_set *set, const struct ip_set *from, int family);
bool ips_equal(const struct ip_set *a, const struct ip_set *b);
/* "10.0.0.1, ::1", cut to fit. Returns buf. */
const char *ips_format(const struct ip_set *set, char *buf, size_t size);
void ips_to_addr(const struct ip *ip, uint16_t port, struct addr *ret);

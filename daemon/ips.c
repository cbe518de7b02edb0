// SPDX-License-Identifier: GPL-2.0-or-later
#include "ips.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void ips_add(struct ip_set *set, int family, const void *bytes)
{
	struct ip ip = {.family = (uint8_t)family};
	size_t i = 0;
	int order = 1;

	memcpy(ip.bytes, bytes, family == AF_INET ? 4 : 16);
	for (; i < set->n; i++) {
		order = memcmp(&set->ips[i], &ip, sizeof(ip));
		if (order >= 0)
			break;
	}
	if (i < set->n && order == 0)
		return;
	if (set->n == IPS_MAX) {
		set->cut = true;
		if (i == IPS_MAX)
			return;
		set->n--;
	}
	memmove(&set->ips[i + 1], &set->ips[i], (set->n - i) * sizeof(ip));
	set->ips[i] = ip;
	set->n++;
}

bool ips_add_text(struct ip_set *set, const char *text)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1)
		ips_add(set, AF_INET, bytes);
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		ips_add(set, AF_INET6, bytes);
	else
		return false;
	return true;
}

void ips_add_family(struct ip_set *set, const struct ip_set *from, int family)
{
	for (size_t i = 0; i < from->n; i++)
		if (from->ips[i].family == family)
			ips_add(set, family, from->ips[i].bytes);
	set->cut = set->cut || from->cut;
}

bool ips_equal(const struct ip_set *a, const struct ip_set *b)
{
	return a->n == b->n && memcmp(a->ips, b->ips, a->n * sizeof(a->ips[0])) == 0;
}

const char *ips_format(const struct ip_set *set, char *buf, size_t size)
{
	char ip[INET6_ADDRSTRLEN];
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < set->n; i++) {
		int n = snprintf(buf + used, size - used, "%s%s", i ? ", " : "",
				 inet_ntop(set->ips[i].family, set->ips[i].bytes, ip, sizeof(ip)));

		if (n < 0 || (size_t)n >= size - used)
			break;
		used += (size_t)n;
	}
	return buf;
}

void ips_to_addr(const struct ip *ip, uint16_t port, struct addr *ret)
{
	*ret = (struct addr){.len = 0};
	if (ip->family == AF_INET) {
		ret->len = sizeof(ret->in4);
		ret->in4.sin_family = AF_INET;
		ret->in4.sin_port = htons(port);
		memcpy(&ret->in4.sin_addr, ip->bytes, 4);
	} else {
		ret->len = sizeof(ret->in6);
		ret->in6.sin6_family = AF_INET6;
		ret->in6.sin6_port = htons(port);
		memcpy(&ret->in6.sin6_addr, ip->bytes, 16);
	}
}

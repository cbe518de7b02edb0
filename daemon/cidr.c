// SPDX-License-Identifier: GPL-2.0-or-later
#include "cidr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "decimal.h"

static int invalid(const char **why, const char *phrase)
{
	*why = phrase;
	return -EINVAL;
}

static bool prefix_equal(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool host_bits_set(const struct cidr *c, unsigned int bits)
{
	for (unsigned int i = c->prefix; i < bits; i++)
		if (c->bytes[i / 8] & (0x80u >> (i % 8)))
			return true;
	return false;
}

/* Everything that matches ::ffff:a.b.c.d/96+n is an IPv4 client: keep it as the IPv4 network. */
static void unmap_cidr(struct cidr *c)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (c->family != AF_INET6 || c->prefix < 96 || memcmp(c->bytes, mapped, 12) != 0)
		return;

	c->family = AF_INET;
	c->prefix = (uint8_t)(c->prefix - 96);
	memmove(c->bytes, c->bytes + 12, 4);
	memset(c->bytes + 4, 0, 12);
}

int cidr_parse(const char *text, struct cidr *ret, const char **why)
{
	struct cidr c = {.family = AF_INET};
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	unsigned int bits = 32, prefix;

	if (strcmp(text, "unix") == 0) {
		*ret = (struct cidr){.family = AF_UNIX};
		return 0;
	}

	if (len >= sizeof(host))
		return invalid(why, "not an IPv4 or IPv6 network");
	memcpy(host, text, len);
	host[len] = '\0';

	if (strchr(host, ':')) {
		c.family = AF_INET6;
		bits = 128;
	}
	if (inet_pton(c.family, host, c.bytes) != 1)
		return invalid(why, "not an IPv4 or IPv6 network");

	prefix = bits;
	if (slash && decimal_parse(slash + 1, bits, &prefix) < 0)
		return invalid(why, bits == 32 ? "prefix length is not 0-32"
					       : "prefix length is not 0-128");

	c.prefix = (uint8_t)prefix;
	if (host_bits_set(&c, bits))
		return invalid(why, "bits are set beyond the prefix length");

	unmap_cidr(&c);
	*ret = c;
	return 0;
}

const char *cidr_format(const struct cidr *c, char buf[ADDR_STR_MAX])
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (c->family == AF_UNIX) {
		(void)snprintf(buf, ADDR_STR_MAX, "unix");
		return buf;
	}

	(void)inet_ntop(c->family, c->bytes, host, sizeof(host));
	(void)snprintf(buf, ADDR_STR_MAX, "%s/%u", host, c->prefix);
	return buf;
}

bool cidr_equal(const struct cidr *a, const struct cidr *b)
{
	return a->family == b->family && a->prefix == b->prefix &&
	       memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/*
 * A mapped address is an IPv4 client that came through a dual-stack socket. It is matched as
 * IPv4 and as nothing else, so a rule means the same whichever socket accepted the client.
 */
bool cidr_match(const struct cidr *c, const struct addr *a)
{
	const uint8_t *bytes;
	int family = a->len ? a->sa.sa_family : AF_UNSPEC;

	if (family != AF_INET && family != AF_INET6)
		return family != AF_UNSPEC && family == c->family;

	if (family == AF_INET) {
		bytes = (const uint8_t *)&a->in4.sin_addr;
	} else {
		bytes = a->in6.sin6_addr.s6_addr;
		if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)) {
			family = AF_INET;
			bytes += 12;
		}
	}

	return family == c->family && prefix_equal(bytes, c->bytes, c->prefix);
}

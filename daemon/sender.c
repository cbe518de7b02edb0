// SPDX-License-Identifier: GPL-2.0-or-later
#include "sender.h"

#include <errno.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

/* False: it has no such address. */
static bool address_of(const struct addr *a, struct sender *ret)
{
	*ret = (struct sender){0};
	if (a->sa.sa_family == AF_INET6) {
		ret->addr = a->in6.sin6_addr;
		ret->scope = a->in6.sin6_scope_id;
	} else if (a->sa.sa_family == AF_INET) {
		memcpy(&ret->addr, mapped, sizeof(mapped));
		memcpy((uint8_t *)&ret->addr + sizeof(mapped), &a->in4.sin_addr, 4);
	}
	return a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6;
}

int sender_choose(const struct addr *client, const struct addr *where, struct sender *ret)
{
	struct sender server;

	if (!address_of(client, ret) || !address_of(where, &server) ||
	    (addr_is_loopback(client) && !addr_is_loopback(where))) {
		*ret = (struct sender){0};
		return 0;
	}
	return !IN6_IS_ADDR_V4MAPPED(&ret->addr) == !IN6_IS_ADDR_V4MAPPED(&server.addr)
		   ? 0
		   : -EPFNOSUPPORT;
}

bool sender_is_client(const struct sender *s)
{
	return !IN6_IS_ADDR_UNSPECIFIED(&s->addr);
}

bool sender_equal(const struct sender *a, const struct sender *b)
{
	return IN6_ARE_ADDR_EQUAL(&a->addr, &b->addr) && a->scope == b->scope;
}

static int set_transparent(int fd, int family)
{
	int one = 1, err;

	if (family == AF_INET6)
		err = setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &one, sizeof(one));
	else
		err = setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof(one));
	return err < 0 ? -errno : 0;
}

/* As a socket of that family has it. */
static struct addr as_socket_has_it(const struct sender *s, int family)
{
	struct addr a = {.len = sizeof(a.in6)};

	a.in6.sin6_family = AF_INET6;
	a.in6.sin6_addr = s->addr;
	a.in6.sin6_scope_id = s->scope;
	if (family == AF_INET)
		addr_unmap(&a);
	return a;
}

int sender_bind(const struct sender *s, int fd, const struct addr *where)
{
	int family = where->sa.sa_family, one = 1, err;
	struct addr from = as_socket_has_it(s, family);

	err = set_transparent(fd, family);
	if (err)
		return err;
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) < 0)
		return -errno;
	if (bind(fd, &from.sa, from.len) == 0)
		return 0;
	/* No port was asked for: there is none to wait for. */
	return errno == EADDRNOTAVAIL || errno == EINVAL ? -EPFNOSUPPORT : -errno;
}

int sender_may_be_client(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : set_transparent(fd, AF_INET);
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "origin.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

void place_of(const struct addr *a, struct intercept_place *ret)
{
	*ret = (struct intercept_place){0};
	if (a->sa.sa_family == AF_INET6) {
		memcpy(ret->addr, &a->in6.sin6_addr, sizeof(ret->addr));
		ret->port = a->in6.sin6_port;
	} else if (a->sa.sa_family == AF_INET) {
		memcpy(ret->addr, mapped, sizeof(mapped));
		ret->addr[3] = a->in4.sin_addr.s_addr;
		ret->port = a->in4.sin_port;
	}
}

void place_to_addr(const struct intercept_place *p, struct addr *ret)
{
	*ret = (struct addr){.len = sizeof(ret->in6)};
	ret->in6.sin6_family = AF_INET6;
	ret->in6.sin6_port = p->port;
	memcpy(&ret->in6.sin6_addr, p->addr, sizeof(p->addr));
	addr_unmap(ret);
}

/* Not moved to the accepted socket. */
static int take_flow(int flows_fd, int fd, const struct addr *client, struct addr *ret)
{
	struct addr local = {.len = sizeof(local.un)};
	struct intercept_place source, target;
	struct intercept_key key = {0};
	struct intercept_flow flow;

	if (getsockname(fd, &local.sa, &local.len) < 0)
		return -errno;
	place_of(client, &source);
	place_of(&local, &target);
	memcpy(key.source, source.addr, sizeof(key.source));
	memcpy(key.target, target.addr, sizeof(key.target));
	key.source_port = source.port;
	key.target_port = target.port;
	if (bpf_map_lookup_and_delete_elem(flows_fd, &key, &flow) < 0)
		return -errno;
	place_to_addr(&flow.original, ret);
	return 0;
}

int origin_find(const struct intercept_maps *maps, int fd, const struct addr *client,
		struct addr *ret)
{
	struct intercept_place place;

	if (bpf_map_lookup_elem(maps->arrivals_fd, &fd, &place) < 0)
		return take_flow(maps->flows_fd, fd, client, ret);
	place_to_addr(&place, ret);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "object.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "../cgroup.h"
#include "../splice/obstacle.h"
#include "../util.h"

static void mask_of(unsigned int bits, uint8_t mask[16])
{
	memset(mask, 0, 16);
	for (unsigned int i = 0; i < bits; i++)
		mask[i / 8] |= (uint8_t)(0x80u >> (i % 8));
}

/* IPv4 is a part of IPv6, as addresses are in the programs. */
void rule_of(const struct destination *d, struct intercept_rule *ret)
{
	const struct cidr *n = &d->network;
	struct intercept_rule r = {.first = d->first, .last = d->last};
	uint8_t addr[16] = {[10] = 0xff, [11] = 0xff}, mask[16];

	if (n->family) {
		bool ipv4 = n->family == AF_INET;

		r.ipv6 = !ipv4;
		memcpy(addr + (ipv4 ? 12 : 0), n->bytes, ipv4 ? 4 : 16);
		mask_of(n->prefix + (ipv4 ? 96u : 0u), mask);
		memcpy(r.addr, addr, sizeof(r.addr));
		memcpy(r.mask, mask, sizeof(r.mask));
	}
	*ret = r;
}

static bool fits(int fd, const struct bpf_map *map)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) == 0 &&
	       info.type == (uint32_t)bpf_map__type(map) &&
	       info.key_size == bpf_map__key_size(map) &&
	       info.value_size == bpf_map__value_size(map);
}

int object_take_map(struct bpf_map *map, int *fd)
{
	if (*fd >= 0 && !fits(*fd, map)) {
		closep_(fd);
		*fd = -1;
	}
	return *fd < 0 ? 0 : bpf_map__reuse_fd(map, *fd);
}

int object_keep_map(const struct bpf_map *map, int *fd)
{
	if (*fd < 0)
		*fd = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? -errno : 0;
}

int object_attach(struct bpf_program *prog, int cgroup, struct bpf_link **link)
{
	return cgroup_attach(prog, cgroup, link);
}

void object_drop_programs(const struct bpf_object *obj)
{
	struct btf *btf = bpf_object__btf(obj);
	struct bpf_program *p;

	bpf_object__for_each_program(p, obj) bpf_program__unload(p);
	if (btf && btf__fd(btf) >= 0) {
		(void)close(btf__fd(btf));
		btf__set_fd(btf, -1);
	}
}

void object_explain(int err, const char *step, char why[256])
{
	char causes[160];

	obstacles_describe(causes, sizeof(causes));
	(void)snprintf(why, 256, "%s%s%s: %s", causes, causes[0] ? ": " : "", step,
		       err == -EUSERS ? cgroup_strerror(err) : strerror(-err));
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "programs.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "../netns.h"
#include "../splice/obstacle.h"
#include "../util.h"
#include "intercept.skel.h"
#include "origin.h"

/* ---- rules ------------------------------------------------------------------------------ */

static void mask_of(unsigned int bits, uint8_t mask[16])
{
	memset(mask, 0, 16);
	for (unsigned int i = 0; i < bits; i++)
		mask[i / 8] |= (uint8_t)(0x80u >> (i % 8));
}

/* IPv4 is a part of IPv6, as addresses are in the programs. */
static void write_rule(const struct destination *d, volatile struct intercept_rule *to)
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
	*to = r;
}

static void write_rules(struct intercept_bpf *skel, const struct programs_options *o)
{
	for (uint32_t i = 0; i < o->n_outbound; i++)
		write_rule(&o->outbound[i], &skel->rodata->outbound[i]);
	for (uint32_t i = 0; i < o->n_except; i++)
		write_rule(&o->except[i], &skel->rodata->except[i]);
	skel->rodata->n_outbound = o->n_outbound;
	skel->rodata->n_except = o->n_except;
}

/* ---- maps ------------------------------------------------------------------------------- */

static int take_map(struct bpf_map *map, int fd)
{
	return fd < 0 ? 0 : bpf_map__reuse_fd(map, fd);
}

/* A process before this one has made it: it must be what it is said to be. */
static bool fits(int fd, const struct bpf_map *map)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) == 0 &&
	       info.type == (uint32_t)bpf_map__type(map) &&
	       info.key_size == bpf_map__key_size(map) &&
	       info.value_size == bpf_map__value_size(map);
}

static void check_map(const struct bpf_map *map, int *fd)
{
	if (*fd < 0 || fits(*fd, map))
		return;
	closep_(fd);
	*fd = -1;
}

/* ---- loading ---------------------------------------------------------------------------- */

static int set_up(struct intercept_bpf *skel, const struct programs_options *o,
		  struct intercept_maps *maps)
{
	uint64_t generation;
	int err;

	check_map(skel->maps.flows, &maps->flows_fd);
	check_map(skel->maps.origins, &maps->origins_fd);
	check_map(skel->maps.arrivals, &maps->arrivals_fd);
	write_rules(skel, o);
	skel->rodata->netns = netns_cookie();
	skel->rodata->required = o->required;
	skel->rodata->trial = o->trial;
	skel->rodata->page_size = (int)sysconf(_SC_PAGESIZE);
	if (!skel->rodata->netns)
		return -EOPNOTSUPP;
	if (getrandom(&generation, sizeof(generation), 0) != (ssize_t)sizeof(generation))
		return -errno;
	skel->rodata->generation = generation;
	err = bpf_map__set_max_entries(skel->maps.flows, o->max_flows);
	if (!err)
		err = take_map(skel->maps.flows, maps->flows_fd);
	if (!err)
		err = take_map(skel->maps.origins, maps->origins_fd);
	return err ? err : take_map(skel->maps.arrivals, maps->arrivals_fd);
}

static int keep_map(const struct bpf_map *map, int *fd)
{
	if (*fd < 0)
		*fd = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? -errno : 0;
}

static int attach_to(struct bpf_program *prog, int cgroup, struct bpf_link **link)
{
	*link = bpf_program__attach_cgroup(prog, cgroup);
	return *link ? 0 : -errno;
}

/* What answers and follows first: no connect is redirected that they do not see. */
static int attach(struct intercept_bpf *skel, int cgroup)
{
	int err = attach_to(skel->progs.follow, cgroup, &skel->links.follow);

	if (!err)
		err = attach_to(skel->progs.getpeername4, cgroup, &skel->links.getpeername4);
	if (!err)
		err = attach_to(skel->progs.getpeername6, cgroup, &skel->links.getpeername6);
	if (!err)
		err = attach_to(skel->progs.getsockopt, cgroup, &skel->links.getsockopt);
	if (!err)
		err = attach_to(skel->progs.connect4, cgroup, &skel->links.connect4);
	if (!err)
		err = attach_to(skel->progs.connect6, cgroup, &skel->links.connect6);
	return err;
}

static int attach_own(struct intercept_bpf *skel, const char *own)
{
	LIBBPF_OPTS(bpf_test_run_opts, once);
	_cleanup_close_ int cgroup = -1;

	if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.introduce_intercepting), &once) < 0)
		return -errno;
	if (!own)
		return 0;
	cgroup = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return cgroup < 0 ? -errno : attach_to(skel->progs.arrive, cgroup, &skel->links.arrive);
}

static void drop_programs(const struct intercept_bpf *skel)
{
	struct btf *btf = bpf_object__btf(skel->obj);
	struct bpf_program *p;

	bpf_object__for_each_program(p, skel->obj) bpf_program__unload(p);
	if (btf && btf__fd(btf) >= 0) {
		(void)close(btf__fd(btf));
		btf__set_fd(btf, -1);
	}
}

static int open_cgroup(const char *path, char why[256])
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = -errno;

	if (fd >= 0)
		return fd;
	(void)snprintf(why, 256, "opening the cgroup %.180s: %s", path, strerror(-err));
	return err;
}

static void explain(int err, const char *step, char why[256])
{
	char causes[160];

	obstacles_describe(causes, sizeof(causes));
	(void)snprintf(why, 256, "%s%s%s: %s", causes, causes[0] ? ": " : "", step, strerror(-err));
}

int programs_open(struct programs *p, const struct programs_options *o, struct intercept_maps *maps,
		  char why[256])
{
	_cleanup_close_ int cgroup = open_cgroup(o->cgroup, why);
	const char *step = "opening the programs";
	int err;

	*p = (struct programs){0};
	if (cgroup < 0)
		return cgroup;
	p->skeleton = intercept_bpf__open();
	err = p->skeleton ? set_up(p->skeleton, o, maps) : -errno;
	if (!err) {
		step = "loading the programs";
		err = intercept_bpf__load(p->skeleton);
	}
	if (!err) {
		p->orders = (void *)&p->skeleton->bss->orders;
		p->counts = (void *)&p->skeleton->bss->counts;
		err = keep_map(p->skeleton->maps.flows, &maps->flows_fd);
	}
	if (!err)
		err = keep_map(p->skeleton->maps.origins, &maps->origins_fd);
	if (!err)
		err = keep_map(p->skeleton->maps.arrivals, &maps->arrivals_fd);
	if (!err) {
		step = "attaching a program to the daemon's cgroup";
		err = attach_own(p->skeleton, o->own);
	}
	if (!err) {
		step = "attaching the programs to the cgroup";
		err = attach(p->skeleton, cgroup);
	}
	if (err)
		explain(err, step, why);
	else
		drop_programs(p->skeleton);
	return err;
}

void programs_each_link(const struct programs *p, void (*fn)(void *arg, int fd), void *arg)
{
	struct bpf_link *const links[] = {p->skeleton->links.getpeername4,
					  p->skeleton->links.getpeername6,
					  p->skeleton->links.getsockopt,
					  p->skeleton->links.connect4, p->skeleton->links.connect6};

	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		fn(arg, bpf_link__fd(links[i]));
}

int programs_follow_link(const struct programs *p)
{
	return bpf_link__fd(p->skeleton->links.follow);
}

int programs_arrivals_link(const struct programs *p)
{
	return p->skeleton->links.arrive ? bpf_link__fd(p->skeleton->links.arrive) : -1;
}

void programs_close(struct programs *p)
{
	intercept_bpf__destroy(p->skeleton);
	*p = (struct programs){0};
}

static void aim(volatile struct intercept_place *to, const struct addr *a)
{
	struct intercept_place p = {0};

	if (a)
		place_of(a, &p);
	for (int i = 0; i < 4; i++)
		to->addr[i] = p.addr[i];
	to->port = p.port;
}

void programs_aim(struct programs *p, const struct addr *ipv4, const struct addr *ipv6)
{
	p->orders->version++;
	atomic_thread_fence(memory_order_seq_cst);
	aim(&p->orders->targets[0], ipv4);
	aim(&p->orders->targets[1], ipv6);
	atomic_thread_fence(memory_order_seq_cst);
	p->orders->version++;
}

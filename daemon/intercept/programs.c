// SPDX-License-Identifier: GPL-2.0-or-later
#include "programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "../netns.h"
#include "../util.h"
#include "intercept.skel.h"
#include "object.h"
#include "origin.h"

/* ---- rules ------------------------------------------------------------------------------ */

static void write_rule(const struct destination *d, volatile struct intercept_rule *to)
{
	struct intercept_rule r;

	rule_of(d, &r);
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

/* ---- loading ---------------------------------------------------------------------------- */

static int set_up(struct intercept_bpf *skel, const struct programs_options *o,
		  struct intercept_maps *maps)
{
	uint64_t generation;
	int err;

	write_rules(skel, o);
	skel->rodata->netns = netns_cookie();
	skel->rodata->trial = o->trial;
	skel->rodata->page_size = (int)sysconf(_SC_PAGESIZE);
	if (!skel->rodata->netns)
		return -EOPNOTSUPP;
	if (getrandom(&generation, sizeof(generation), 0) != (ssize_t)sizeof(generation))
		return -errno;
	skel->rodata->generation = generation;
	err = bpf_map__set_max_entries(skel->maps.flows, o->max_flows);
	if (!err)
		err = object_take_map(skel->maps.flows, &maps->flows_fd);
	if (!err)
		err = object_take_map(skel->maps.origins, &maps->origins_fd);
	return err ? err : object_take_map(skel->maps.arrivals, &maps->arrivals_fd);
}

/* What answers and follows first: no connect is redirected that they do not see. */
static int attach(struct intercept_bpf *skel, int cgroup)
{
	int err = object_attach(skel->progs.follow, cgroup, &skel->links.follow);

	if (!err)
		err = object_attach(skel->progs.getpeername4, cgroup, &skel->links.getpeername4);
	if (!err)
		err = object_attach(skel->progs.getpeername6, cgroup, &skel->links.getpeername6);
	if (!err)
		err = object_attach(skel->progs.getsockopt, cgroup, &skel->links.getsockopt);
	if (!err)
		err = object_attach(skel->progs.connect4, cgroup, &skel->links.connect4);
	if (!err)
		err = object_attach(skel->progs.connect6, cgroup, &skel->links.connect6);
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
	return cgroup < 0 ? -errno : object_attach(skel->progs.arrive, cgroup, &skel->links.arrive);
}

static int open_cgroup(const char *path, char why[256])
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = -errno;

	if (fd >= 0)
		return fd;
	(void)snprintf(why, 256, "opening the cgroup %.180s: %s", path, strerror(-err));
	return err;
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
		err = object_keep_map(p->skeleton->maps.flows, &maps->flows_fd);
	}
	if (!err)
		err = object_keep_map(p->skeleton->maps.origins, &maps->origins_fd);
	if (!err)
		err = object_keep_map(p->skeleton->maps.arrivals, &maps->arrivals_fd);
	if (!err) {
		step = "attaching a program to the daemon's cgroup";
		err = attach_own(p->skeleton, o->own);
	}
	if (!err) {
		step = "attaching the programs to the cgroup";
		err = attach(p->skeleton, cgroup);
	}
	if (err)
		object_explain(err, step, why);
	else
		object_drop_programs(p->skeleton->obj);
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

static bool is_aimed(const volatile struct intercept_place *to, const struct addr *a)
{
	struct intercept_place p = {0};

	if (a)
		place_of(a, &p);
	for (int i = 0; i < 4; i++)
		if (to->addr[i] != p.addr[i])
			return false;
	return to->port == p.port;
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

bool programs_aim(struct programs *p, const struct addr *ipv4, const struct addr *ipv6)
{
	volatile struct intercept_orders *o = p->orders;
	volatile struct intercept_place *now = o->targets[o->version & 1];
	volatile struct intercept_place *next = o->targets[!(o->version & 1)];

	if (is_aimed(&now[0], ipv4) && is_aimed(&now[1], ipv6))
		return false;
	aim(&next[0], ipv4);
	aim(&next[1], ipv6);
	atomic_thread_fence(memory_order_seq_cst);
	o->version++;
	atomic_thread_fence(memory_order_seq_cst);
	return true;
}

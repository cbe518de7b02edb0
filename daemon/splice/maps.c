// SPDX-License-Identifier: GPL-2.0-or-later
#include "maps.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "../btf/subset.h"
#include "../cgroup.h"
#include "../kernelversion.h"
#include "../log.h"
#include "obstacle.h"
#include "splice.skel.h"

const char *const verdict_why_str[_VERDICT_MAX] = {
    [VERDICT_REDIRECTED] = "redirected",
    [VERDICT_FIN] = "fin",
    [VERDICT_DUPLICATE] = "duplicate",
    [VERDICT_TRIMMED] = "trimmed",
    [VERDICT_NO_LANE] = "passed_no_lane",
    [VERDICT_NO_TARGET] = "passed_no_target",
    [VERDICT_ORDER] = "passed_order",
    [VERDICT_LIMIT] = "passed_limit",
    [VERDICT_HARD] = "passed_hard",
    [VERDICT_BEHIND] = "behind",
    [VERDICT_BEYOND] = "beyond",
    [VERDICT_REFUSED] = "refused",
    [VERDICT_GAP] = "gap",
    [VERDICT_EVENT_LOST] = "event_lost",
    [VERDICT_SOCKET_ADDED] = "socket_added",
    [VERDICT_SOCKET_REFUSED] = "socket_refused",
    [VERDICT_STOPPED] = "stopped",
    [VERDICT_LEFT] = "left",
    [VERDICT_NOT_LEFT] = "not_left",
    [VERDICT_UNHEARD] = "unheard",
};

static uint32_t page_align(uint32_t n)
{
	uint32_t size = (uint32_t)sysconf(_SC_PAGESIZE);

	while (size < n)
		size *= 2;
	return size;
}

static int set_sizes(struct splice_bpf *skel, const struct maps_options *o)
{
	/* Clients that wait to be accepted are in `sockets` already, if sockops adds them. */
	uint32_t lanes = o->max_sessions * 2, waiting = o->collecting ? o->waiting : 0;
	struct bpf_map *sized[] = {skel->maps.sockets, skel->maps.engaged, skel->maps.lanes,
				   skel->maps.lane_of};
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(sized); i++) {
		err = bpf_map__set_max_entries(sized[i], lanes + (i == 0 ? waiting : 0));
		if (err)
			return err;
		/* lane_of is touched by whichever CPU a segment arrives on; so are the others,
		 * but one node still beats a random one where the machine has several. */
		if (o->numa_node >= 0) {
			err = bpf_map__set_numa_node(sized[i], (uint32_t)o->numa_node);
			if (!err)
				err = bpf_map__set_map_flags(
				    sized[i], bpf_map__map_flags(sized[i]) | BPF_F_NUMA_NODE);
			if (err)
				return err;
		}
	}
	return 0;
}

/* Creates a ring buffer a worker, with room for two events of every lane it can have. */
static int open_rings(struct maps *m, const struct maps_options *o)
{
	uint32_t size = page_align(MIN(o->max_sessions, UINT32_C(1) << 16) * 2 * 24);
	int outer = bpf_map__fd(m->skeleton->maps.events);

	for (uint32_t i = 0; i < o->workers; i++) {
		int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "events", 0, 0, size, NULL);

		if (fd < 0)
			return fd;
		m->rings[m->n_rings++] = fd;
		if (bpf_map_update_elem(outer, &i, &fd, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

static int map_lanes(struct maps *m)
{
	size_t size = (size_t)m->n_lanes * sizeof(struct lane);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	size = (size + page - 1) / page * page;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
		 bpf_map__fd(m->skeleton->maps.lanes), 0);
	if (p == MAP_FAILED)
		return -errno;
	m->lanes = p;
	return 0;
}

static int attach_collect(struct maps *m, char why[256])
{
	LIBBPF_OPTS(bpf_test_run_opts, once);
	_cleanup_close_ int fd = -1;
	char path[512];
	int err;

	err = cgroup_own_path(path, sizeof(path));
	if (err) {
		(void)snprintf(why, 256, "finding the daemon's cgroup: %s", cgroup_strerror(err));
		return err;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		(void)snprintf(why, 256, "opening %.180s: %s", path, strerror(-err));
		return err;
	}
	if (bpf_prog_test_run_opts(bpf_program__fd(m->skeleton->progs.introduce), &once) < 0) {
		err = -errno;
		(void)snprintf(why, 256, "telling sockops the daemon's process: %s",
			       strerror(-err));
		return err;
	}
	err = cgroup_attach(m->skeleton->progs.collect, fd, &m->skeleton->links.collect);
	if (err)
		(void)snprintf(why, 256, "attaching sockops to %.160s: %s", path,
			       cgroup_strerror(err));
	return err;
}

static int attach_verdict(struct maps *m)
{
	if (bpf_prog_attach(bpf_program__fd(m->skeleton->progs.verdict), m->engaged_fd,
			    BPF_SK_SKB_STREAM_VERDICT, 0) < 0)
		return -errno;
	return 0;
}

/* The kernel's error alone is of little help: for want of CAP_PERFMON it is EINVAL. */
static void explain(int err, const char *step, char why[256])
{
	char causes[200];

	obstacles_describe(causes, sizeof(causes));
	(void)snprintf(why, 256, "%.180s%s%s: %.40s", causes, causes[0] ? ": " : "", step,
		       strerror(-err));
}

/* So that libbpf looks through no more of the kernel's types than the programs name; *types_fd, if
 * there is one, is needed until they are loaded. NULL with errno set. */
static struct splice_bpf *open_programs(int *types_fd)
{
	char path[BTF_SUBSET_PATH_MAX];
	LIBBPF_OPTS(bpf_object_open_opts, o, .btf_custom_path = path);
	struct splice_bpf *skel = splice_bpf__open();

	*types_fd = -1;
	if (!skel || btf_subset(BTF_KERNEL, bpf_object__btf(skel->obj), types_fd, path) < 0)
		return skel;
	splice_bpf__destroy(skel);
	return splice_bpf__open_opts(&o);
}

static int load(struct maps *m, const struct maps_options *o, char why[256])
{
	const char *step = "opening the programs";
	_cleanup_close_ int types_fd = -1;
	int err;

	m->skeleton = open_programs(&types_fd);
	err = m->skeleton ? set_sizes(m->skeleton, o) : -errno;
	if (!err) {
		m->skeleton->rodata->debug_flags = o->debug;
		m->skeleton->rodata->collecting = o->collecting;
		m->skeleton->rodata->kernel_version = kernel_version();
		step = "loading the programs";
		err = splice_bpf__load(m->skeleton);
	}
	if (!err) {
		m->sockets_fd = bpf_map__fd(m->skeleton->maps.sockets);
		m->engaged_fd = bpf_map__fd(m->skeleton->maps.engaged);
		m->lane_of_fd = bpf_map__fd(m->skeleton->maps.lane_of);
		m->owned_fd = bpf_map__fd(m->skeleton->maps.owned);
		m->leaving = &m->skeleton->bss->leaving;
		m->unheard = &m->skeleton->bss->unheard;
		m->alert_ns = &m->skeleton->bss->alert_ns;
		step = "mapping the lanes";
		err = map_lanes(m);
	}
	if (!err) {
		step = "creating the ring buffers";
		err = open_rings(m, o);
	}
	if (!err) {
		step = "attaching the verdict program";
		err = attach_verdict(m);
	}
	if (!err) {
		step = "keeping the gate";
		m->gate_fd = fcntl(bpf_program__fd(m->skeleton->progs.gate), F_DUPFD_CLOEXEC, 3);
		err = m->gate_fd < 0 ? -errno : 0;
	}
	if (err)
		explain(err, step, why);
	return err;
}

/*
 * Closes what only loading needs. A program's descriptor is all it takes to attach the program
 * elsewhere (to the root cgroup, say), in the hands of whoever takes over a worker. The gate's is
 * kept: it can only be attached to sockets that the worker has. The programs themselves live on:
 * the verdict program in its map, the sockops program in its link, which must stay open for that,
 * and to which nothing can be done without a program but to detach it.
 */
static void drop_programs(struct maps *m)
{
	struct btf *btf = bpf_object__btf(m->skeleton->obj);
	struct bpf_program *p;

	bpf_object__for_each_program(p, m->skeleton->obj) bpf_program__unload(p);
	if (btf && btf__fd(btf) >= 0) {
		(void)close(btf__fd(btf));
		btf__set_fd(btf, -1);
	}
}

int maps_open(const struct maps_options *options, struct maps **ret, char why[256])
{
	struct maps *m = calloc(1, sizeof(*m));
	int err;

	why[0] = '\0';
	if (!m) {
		(void)snprintf(why, 256, "out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; i < ARRAY_SIZE(m->rings); i++)
		m->rings[i] = -1;
	m->gate_fd = -1;
	m->n_lanes = options->max_sessions * 2;
	m->debug = options->debug;
	m->owners = calloc(options->max_sessions, sizeof(struct splice *));
	m->generations = calloc(options->max_sessions, sizeof(*m->generations));

	err = m->owners && m->generations ? load(m, options, why) : -ENOMEM;
	if (err == -ENOMEM && !why[0])
		(void)snprintf(why, 256, "out of memory");
	if (err) {
		maps_close(m);
		return err;
	}
	m->collected = attach_collect(m, why) == 0;
	drop_programs(m);
	*ret = m;
	return 0;
}

void maps_close(struct maps *m)
{
	if (!m)
		return;
	for (unsigned int i = 0; i < m->n_rings; i++)
		(void)close(m->rings[i]);
	if (m->gate_fd >= 0)
		(void)close(m->gate_fd);
	if (m->lanes)
		(void)munmap(m->lanes, (size_t)m->n_lanes * sizeof(struct lane));
	free(m->owners);
	free(m->generations);
	splice_bpf__destroy(m->skeleton);
	free(m);
}

int maps_own(const struct maps *m, int fd)
{
	uint32_t marked = 1;

	return bpf_map_update_elem(m->owned_fd, &fd, &marked, BPF_ANY) < 0 ? -errno : 0;
}

int maps_disown(const struct maps *m, int fd)
{
	return bpf_map_delete_elem(m->owned_fd, &fd) < 0 ? -errno : 0;
}

int maps_socket_add(const struct maps *m, uint64_t cookie, int fd)
{
	uint64_t value = (uint64_t)fd;

	return bpf_map_update_elem(m->sockets_fd, &cookie, &value, BPF_ANY) < 0 ? -errno : 0;
}

bool maps_socket_present(const struct maps *m, uint64_t cookie)
{
	uint64_t value;

	return bpf_map_lookup_elem(m->sockets_fd, &cookie, &value) == 0;
}

int maps_engage(const struct maps *m, uint64_t cookie, int fd)
{
	uint64_t value = (uint64_t)fd;

	return bpf_map_update_elem(m->engaged_fd, &cookie, &value, BPF_ANY) < 0 ? -errno : 0;
}

int maps_disengage(const struct maps *m, uint64_t cookie)
{
	return bpf_map_delete_elem(m->engaged_fd, &cookie) < 0 ? -errno : 0;
}

int maps_gate(const struct maps *m, int fd)
{
	static atomic_bool told;
	int err;

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &m->gate_fd, sizeof(m->gate_fd)) == 0)
		return 0;
	err = -errno;
	if (!atomic_exchange(&told, true))
		log_warn("a filter cannot be attached to a socket: %s%s; its session is copied",
			 strerror(-err),
			 err == -ENOMEM ? " (net.core.optmem_max may be small)" : "");
	return err;
}

int maps_lane_set(const struct maps *m, uint64_t source, const struct lane_ref *ref)
{
	return bpf_map_update_elem(m->lane_of_fd, &source, ref, BPF_ANY) < 0 ? -errno : 0;
}

int maps_lane_clear(const struct maps *m, uint64_t source)
{
	return bpf_map_delete_elem(m->lane_of_fd, &source) < 0 ? -errno : 0;
}

bool maps_unheard(const struct maps *m)
{
	uint32_t noticed = 1;

	if (!m->collected || !__atomic_load_n(m->unheard, __ATOMIC_RELAXED))
		return false;
	/* 2: it is told. */
	if (__atomic_compare_exchange_n(m->unheard, &noticed, 2, false, __ATOMIC_RELAXED,
					__ATOMIC_RELAXED))
		log_warn(
		    "another sockops program has cleared the callback flags of the daemon's "
		    "sockets: sources would leave the kernel without their lock, and might lose "
		    "a segment (integrity_aborts). What is not in the kernel is copied from now "
		    "on, until a restart");
	return true;
}

uint64_t maps_verdicts(const struct maps *m, enum verdict_why why)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ uint64_t *per_cpu = NULL;
	uint32_t key = why;
	uint64_t sum = 0;

	if (cpus <= 0)
		return 0;
	per_cpu = calloc((size_t)cpus, sizeof(*per_cpu));
	if (!per_cpu ||
	    bpf_map_lookup_elem(bpf_map__fd(m->skeleton->maps.verdicts), &key, per_cpu) < 0)
		return 0;
	for (int i = 0; i < cpus; i++)
		sum += per_cpu[i];
	return sum;
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "maps.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "../btf/subset.h"
#include "../cgroup.h"
#include "../netns.h"
#include "../util.h"
#include "bypass.skel.h"

/* Applications' sockets that are established and belong to no session yet, or no more. */
#define HEADROOM 65536

static int set_sizes(struct bypass_bpf *skel, const struct bypass_maps_options *o)
{
	uint32_t ways = o->max_sessions * 2;
	const struct {
		struct bpf_map *map;
		uint32_t n;
	} sizes[] = {
	    {skel->maps.joined, 2 * ways + HEADROOM},
	    {skel->maps.outlet, ways},
	    {skel->maps.bypass_of, 2 * ways},
	    {skel->maps.ways, ways},
	    {skel->maps.aims, ways},
	    {skel->maps.looks, o->workers * BYPASS_LOOKS},
	};
	int err = 0;

	for (size_t i = 0; !err && i < ARRAY_SIZE(sizes); i++)
		err = bpf_map__set_max_entries(sizes[i].map, sizes[i].n);
	return err;
}

static void *map_shared(const struct bpf_map *map, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	size = (size + page - 1) / page * page;
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
}

static int map_arrays(struct bypass_maps *m)
{
	void *p = map_shared(m->skeleton->maps.ways, m->n_ways * sizeof(*m->ways));

	if (p == MAP_FAILED)
		return -errno;
	m->ways = p;
	p = map_shared(m->skeleton->maps.looks,
		       (size_t)m->n_workers * BYPASS_LOOKS * sizeof(*m->looks));
	if (p == MAP_FAILED)
		return -errno;
	m->looks = p;
	return 0;
}

static int attach_to(struct bpf_program *prog, const char *path, struct bpf_link **link)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return cgroup_attach(prog, fd, link);
}

static int attach(struct bypass_maps *m, const struct bypass_maps_options *o, char why[256])
{
	struct bypass_bpf *skel = m->skeleton;
	char own[512];
	int err = cgroup_own_path(own, sizeof(own));

	if (err) {
		(void)snprintf(why, 256, "finding the daemon's cgroup: %s", cgroup_strerror(err));
		return err;
	}
	err = attach_to(skel->progs.announce, own, &skel->links.announce);
	if (err) {
		(void)snprintf(why, 256, "attaching sockops to %.160s: %s", own,
			       cgroup_strerror(err));
		return err;
	}
	err = attach_to(skel->progs.enrol, own, &m->own);
	if (!err && o->cgroup)
		err = attach_to(skel->progs.enrol, o->cgroup, &skel->links.enrol);
	if (err) {
		(void)snprintf(why, 256, "attaching sockops to bypass_cgroup %.160s: %s",
			       o->cgroup ? o->cgroup : own, cgroup_strerror(err));
		return err;
	}
	if (bpf_prog_attach(bpf_program__fd(skel->progs.forward), m->joined_fd, BPF_SK_MSG_VERDICT,
			    0) < 0) {
		err = -errno;
		(void)snprintf(why, 256, "attaching the sk_msg program: %s", strerror(-err));
	}
	return err;
}

/* So that libbpf looks through no more of the kernel's types than the programs name; *types_fd, if
 * there is one, is needed until they are loaded. NULL with errno set. */
static struct bypass_bpf *open_programs(int *types_fd)
{
	char path[BTF_SUBSET_PATH_MAX];
	LIBBPF_OPTS(bpf_object_open_opts, o, .btf_custom_path = path);
	struct bypass_bpf *skel = bypass_bpf__open();

	*types_fd = -1;
	if (!skel || btf_subset(BTF_KERNEL, bpf_object__btf(skel->obj), types_fd, path) < 0)
		return skel;
	bypass_bpf__destroy(skel);
	return bypass_bpf__open_opts(&o);
}

/*
 * A program that sleeps in a blocking recv() of plain TCP would not be woken by what is sent to it
 * directly: where such programs are bypassed, their sockets are in `joined` from the beginning.
 */
static int load(struct bypass_maps *m, const struct bypass_maps_options *o, char why[256])
{
	const char *step = "opening the bypass's programs";
	_cleanup_close_ int types_fd = -1;
	int err;

	m->skeleton = open_programs(&types_fd);
	err = m->skeleton ? set_sizes(m->skeleton, o) : -errno;
	if (!err && !o->blocking)
		m->skeleton->rodata->late_netns = netns_cookie();
	if (!err) {
		step = "loading the bypass's programs";
		err = bypass_bpf__load(m->skeleton);
	}
	if (!err) {
		m->joining_fd = bpf_map__fd(m->skeleton->maps.joining);
		m->listening_fd = bpf_map__fd(m->skeleton->maps.listening);
		m->joined_fd = bpf_map__fd(m->skeleton->maps.joined);
		m->outlet_fd = bpf_map__fd(m->skeleton->maps.outlet);
		m->bypass_of_fd = bpf_map__fd(m->skeleton->maps.bypass_of);
		m->skeleton->bss->proving = 1;
		step = "mapping the ways";
		err = map_arrays(m);
	}
	if (err)
		(void)snprintf(why, 256, "%s: %s", step, strerror(-err));
	return err ? err : attach(m, o, why);
}

/* What the daemon never looks at is out of the reach of whoever takes it over: where the kernel's
 * objects are. The descriptor itself is libbpf's to close. */
static int forget_map(const struct bpf_map *map)
{
	_cleanup_close_ int nothing = eventfd(0, EFD_CLOEXEC);

	if (nothing < 0 || dup3(nothing, bpf_map__fd(map), O_CLOEXEC) < 0)
		return -errno;
	return 0;
}

static int keep(const struct bpf_program *p, int *fd)
{
	*fd = fcntl(bpf_program__fd(p), F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? -errno : 0;
}

/* Closes what only loading needs, as of the kernel engine: but those that the daemon runs can only
 * be run. */
static int drop_programs(struct bypass_maps *m)
{
	struct btf *btf = bpf_object__btf(m->skeleton->obj);
	struct bpf_program *p;
	int err = keep(m->skeleton->progs.peek, &m->peek_fd);

	if (!err)
		err = keep(m->skeleton->progs.find, &m->find_fd);
	if (!err)
		err = keep(m->skeleton->progs.admit, &m->admit_fd);
	if (err)
		return err;
	bpf_object__for_each_program(p, m->skeleton->obj) bpf_program__unload(p);
	if (btf && btf__fd(btf) >= 0) {
		(void)close(btf__fd(btf));
		btf__set_fd(btf, -1);
	}
	err = forget_map(m->skeleton->maps.expected);
	return err ? err : forget_map(m->skeleton->maps.aims);
}

int bypass_maps_open(const struct bypass_maps_options *o, struct bypass_maps **ret, char why[256])
{
	struct bypass_maps *m = calloc(1, sizeof(*m));
	int err;

	why[0] = '\0';
	if (!m) {
		(void)snprintf(why, 256, "out of memory");
		return -ENOMEM;
	}
	m->n_ways = o->max_sessions * 2;
	m->n_workers = o->workers;
	m->has_outlets = true;
	m->peek_fd = m->find_fd = m->admit_fd = -1;
	err = load(m, o, why);
	if (!err) {
		err = drop_programs(m);
		if (err)
			(void)snprintf(why, 256, "dropping the bypass's programs: %s",
				       strerror(-err));
	}
	if (err) {
		bypass_maps_close(m);
		return err;
	}
	*ret = m;
	return 0;
}

void bypass_maps_proved(struct bypass_maps *m)
{
	(void)bpf_link__destroy(m->own);
	m->own = NULL;
	if (m->skeleton && m->skeleton->bss)
		m->skeleton->bss->proving = 0;
}

void bypass_maps_close(struct bypass_maps *m)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (!m)
		return;
	if (m->ways)
		(void)munmap(m->ways, (m->n_ways * sizeof(*m->ways) + page - 1) / page * page);
	if (m->looks)
		(void)munmap(m->looks,
			     (m->n_workers * BYPASS_LOOKS * sizeof(*m->looks) + page - 1) / page *
				 page);
	closep_(&m->peek_fd);
	closep_(&m->find_fd);
	closep_(&m->admit_fd);
	bypass_maps_proved(m);
	bypass_bpf__destroy(m->skeleton);
	free(m);
}

int bypass_mark(const struct bypass_maps *m, int fd)
{
	struct handshake none = {0};

	return bpf_map_update_elem(m->joining_fd, &fd, &none, BPF_ANY) < 0 ? -errno : 0;
}

int bypass_mark_listener(const struct bypass_maps *m, int fd)
{
	uint32_t marked = 1;
	uint64_t cookie;
	socklen_t len = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0 ||
	    bpf_map_update_elem(m->listening_fd, &cookie, &marked, BPF_ANY) < 0)
		return -errno;
	return bypass_mark(m, fd);
}

void bypass_forget_listener(const struct bypass_maps *m, int fd)
{
	uint64_t cookie;
	socklen_t len = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0)
		(void)bpf_map_delete_elem(m->listening_fd, &cookie); /* -ENOENT: it has none */
}

void bypass_unmark_listener(const struct bypass_maps *m, int fd)
{
	bypass_forget_listener(m, fd);
	(void)bpf_map_delete_elem(m->joining_fd, &fd);
}

int bypass_handshake(const struct bypass_maps *m, int fd, struct handshake *ret)
{
	return bpf_map_lookup_elem(m->joining_fd, &fd, ret) < 0 ? -errno : 0;
}

int bypass_find(const struct bypass_maps *m, const struct handshake *ours, uint32_t way,
		uint64_t *cookie)
{
	struct find_args args = {
	    .theirs = {.sent = ours->received, .received = ours->sent},
	    .way = way,
	};
	/* The answer comes back in the same place. */
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &args, .ctx_size_in = sizeof(args));

	if (bpf_prog_test_run_opts(m->find_fd, &run) < 0)
		return -errno;
	*cookie = args.cookie;
	return *cookie ? 0 : -ENOENT;
}

static int admit(const struct bypass_maps *m, const struct admit_args *args)
{
	const struct admit_packet packet = {.args = *args};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = &packet, .data_size_in = sizeof(packet));

	if (bpf_prog_test_run_opts(m->admit_fd, &run) < 0)
		return -errno;
	return run.retval == 2 ? 0 : -ENOENT;
}

int bypass_admit(const struct bypass_maps *m, const uint32_t ways[2])
{
	const struct admit_args args = {.ways = {ways[0], ways[1]}};

	return admit(m, &args);
}

int bypass_admit_alone(const struct bypass_maps *m, uint32_t target_of, uint32_t way,
		       uint64_t cookie, int fd)
{
	const struct admit_args args = {.ways = {target_of, way}, .outlet = cookie};
	uint64_t value = (uint64_t)fd;

	if (bpf_map_update_elem(m->outlet_fd, &cookie, &value, BPF_ANY) < 0)
		return -errno;
	return admit(m, &args);
}

int bypass_part_outlet(const struct bypass_maps *m, uint64_t cookie)
{
	return bpf_map_delete_elem(m->outlet_fd, &cookie) < 0 ? -errno : 0;
}

int bypass_join_socket(const struct bypass_maps *m, uint64_t cookie, int fd)
{
	uint64_t value = (uint64_t)fd;

	return bpf_map_update_elem(m->joined_fd, &cookie, &value, BPF_ANY) < 0 ? -errno : 0;
}

int bypass_part_socket(const struct bypass_maps *m, uint64_t cookie)
{
	return bpf_map_delete_elem(m->joined_fd, &cookie) < 0 ? -errno : 0;
}

int bypass_ref_set(const struct bypass_maps *m, uint64_t cookie, const struct bypass_ref *ref)
{
	return bpf_map_update_elem(m->bypass_of_fd, &cookie, ref, BPF_ANY) < 0 ? -errno : 0;
}

int bypass_ref_clear(const struct bypass_maps *m, uint64_t cookie)
{
	return bpf_map_delete_elem(m->bypass_of_fd, &cookie) < 0 ? -errno : 0;
}

int bypass_peek(const struct bypass_maps *m, unsigned int worker, const uint32_t *ways, size_t n)
{
	struct peek_args args = {.first = worker * BYPASS_LOOKS, .n = (uint32_t)n};
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &args, .ctx_size_in = sizeof(args));

	for (size_t i = 0; i < n; i++)
		m->looks[args.first + i] = ways[i];
	return bpf_prog_test_run_opts(m->peek_fd, &run) < 0 ? -errno : 0;
}

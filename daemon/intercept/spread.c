// SPDX-License-Identifier: GPL-2.0-or-later
#include "spread.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "../util.h"
#include "object.h"
#include "spread.skel.h"

static int set_up(struct spread *s, unsigned int sockets)
{
	struct spread_bpf *skel = s->skeleton;
	int err;

	if (s->n_workers > SPREAD_WORKERS)
		return -E2BIG;
	skel->rodata->n_workers = s->n_workers;
	err = bpf_map__set_max_entries(skel->maps.queues, sockets);
	return err ? err : bpf_map__set_max_entries(skel->maps.groups, sockets);
}

static int load(struct spread *s, unsigned int sockets, const char **step)
{
	int err;

	*step = "opening the program";
	s->skeleton = spread_bpf__open();
	err = s->skeleton ? set_up(s, sockets) : -errno;
	if (err)
		return err;
	*step = "loading the program";
	err = spread_bpf__load(s->skeleton);
	if (err)
		return err;
	s->state = (void *)&s->skeleton->bss->state;
	s->workers = (void *)s->skeleton->bss->workers;
	s->program_fd = fcntl(bpf_program__fd(s->skeleton->progs.spread), F_DUPFD_CLOEXEC, 0);
	return s->program_fd < 0 ? -errno : 0;
}

int spread_open(struct spread *s, unsigned int n_workers, unsigned int sockets, char why[256])
{
	const char *step;
	int err;

	*s = (struct spread){.n_workers = n_workers, .program_fd = -1};
	err = load(s, sockets, &step);
	if (err)
		object_explain(err, step, why);
	else
		object_drop_programs(s->skeleton->obj);
	return err;
}

void spread_close(struct spread *s)
{
	closep_(&s->program_fd);
	spread_bpf__destroy(s->skeleton);
	*s = (struct spread){.program_fd = -1};
}

int spread_add_socket(struct spread *s, uint32_t group, int fd, uint64_t *cookie)
{
	socklen_t len = sizeof(*cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, &len) < 0)
		return -errno;
	return bpf_map_update_elem(bpf_map__fd(s->skeleton->maps.groups), cookie, &group, BPF_ANY) <
		       0
		   ? -errno
		   : 0;
}

int spread_add_worker(struct spread *s, uint32_t group, unsigned int worker, int fd)
{
	const struct spread_key key = {.group = group, .worker = worker};
	uint64_t value = (uint64_t)fd;

	return bpf_map_update_elem(bpf_map__fd(s->skeleton->maps.queues), &key, &value, BPF_ANY) < 0
		   ? -errno
		   : 0;
}

void spread_forget_socket(struct spread *s, uint64_t cookie)
{
	(void)bpf_map_delete_elem(bpf_map__fd(s->skeleton->maps.groups), &cookie);
}

void spread_forget_worker(struct spread *s, uint32_t group, unsigned int worker)
{
	const struct spread_key key = {.group = group, .worker = worker};

	(void)bpf_map_delete_elem(bpf_map__fd(s->skeleton->maps.queues), &key);
}

int spread_attach(const struct spread *s, int fd)
{
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &s->program_fd,
			  sizeof(s->program_fd)) < 0
		   ? -errno
		   : 0;
}

/* reuseport_detach_prog(): ENOENT where there is none, and EINVAL where there is no group. */
int spread_detach(int fd)
{
	int ignored = 0;

	if (setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &ignored, sizeof(ignored)) == 0 ||
	    errno == ENOENT || errno == EINVAL)
		return 0;
	return -errno;
}

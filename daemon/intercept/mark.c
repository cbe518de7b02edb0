// SPDX-License-Identifier: GPL-2.0-or-later
#include "mark.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "../cgroup.h"
#include "../log.h"
#include "../util.h"
#include "mark.skel.h"
#include "object.h"

struct mark {
	struct mark_bpf *skeleton;
};

static int attach(struct mark_bpf *skel, const char **step)
{
	LIBBPF_OPTS(bpf_test_run_opts, once);
	_cleanup_close_ int fd = -1;
	char path[512];
	int err = cgroup_own_path(path, sizeof(path));

	*step = "finding the daemon's cgroup";
	if (err)
		return err;
	*step = "opening the daemon's cgroup";
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*step = "telling the mark's program the daemon's process";
	if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.introduce_marked), &once) < 0)
		return -errno;
	*step = "attaching the mark's program to the daemon's cgroup";
	err = cgroup_attach(skel->progs.mark, fd, &skel->links.mark);
	if (err)
		return err;
	/* Where a program of others has that place for itself the rest is marked all the same. */
	err = cgroup_attach(skel->progs.mark_accepted, fd, &skel->links.mark_accepted);
	if (err)
		log_warn("accepted sockets are not marked: attaching sockops to the daemon's "
			 "cgroup: %s",
			 cgroup_strerror(err));
	return 0;
}

int mark_open(struct mark **ret, char why[256])
{
	const char *step = "opening the mark's program";
	struct mark *m = calloc(1, sizeof(*m));
	int err = -ENOMEM;

	if (m) {
		m->skeleton = mark_bpf__open();
		err = m->skeleton ? 0 : -errno;
	}
	if (!err) {
		step = "loading the mark's program";
		err = mark_bpf__load(m->skeleton);
	}
	if (!err)
		err = attach(m->skeleton, &step);
	if (err) {
		(void)snprintf(why, 256, "%s: %s", step, strerror(-err));
		mark_close(m);
		return err;
	}
	object_drop_programs(m->skeleton->obj);
	*ret = m;
	return 0;
}

int mark_listener(const struct mark *m, int fd)
{
	uint32_t listens = 1;

	if (!m || !m->skeleton->links.mark_accepted)
		return 0;
	return bpf_map_update_elem(bpf_map__fd(m->skeleton->maps.listens), &fd, &listens, BPF_ANY) <
		       0
		   ? -errno
		   : 0;
}

void mark_keep_made(struct mark *m)
{
	if (!m)
		return;
	(void)bpf_link__destroy(m->skeleton->links.mark_accepted);
	m->skeleton->links.mark_accepted = NULL;
}

void mark_close(struct mark *m)
{
	if (!m)
		return;
	mark_bpf__destroy(m->skeleton);
	free(m);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * The directory of the process's own cgroup in the unified hierarchy: the "0::" line of
 * /proc/self/cgroup, below a cgroup2 mount of /proc/self/mountinfo that shows that part. Where none
 * does, the first mount, and rather one that shows nothing above the process's own namespace: what
 * is attached there sees the process if that is a cgroup above its own. 0, -ENODEV without a mount,
 * -ESRCH without /proc, or another negative errno.
 */
int cgroup_own_path(char *buf, size_t size);
/* The same for what concerns that cgroup and no other: -EXDEV where no mount shows it. */
int cgroup_self_path(char *buf, size_t size);
/* The highest folder that the mount shows with which cgroup_own_path() answers: the root of all, or
 * of the process's namespace. The same errors. */
int cgroup_top_path(char *buf, size_t size);
/*
 * The directory of the cgroup of a pod, for a daemon in a container of it: of those above its own
 * the nearest that Kubernetes or podman has named after a pod, or else the one directly above. A
 * container's own mount ends with its own cgroup; then it takes one that shows more of the host's
 * hierarchy, anywhere. 0, -EXDEV where there is none, or none shows the own one, or as above.
 */
int cgroup_pod_path(char *buf, size_t size);
/* Whether the path is a cgroup's folder: 0, -ENOTTY where it is something else, or another negative
 * errno. */
int cgroup_is(const char *path);
struct bpf_link;
struct bpf_program;
/* Attaches the program to the cgroup that `fd` is the folder of, beside others: *ret. 0, or a
 * negative errno, *ret NULL; -EUSERS: as many are attached there as may be (BPF_CGROUP_MAX_PROGS of
 * the kernel). */
int cgroup_attach(const struct bpf_program *prog, int fd, struct bpf_link **ret);
/* What such an error says in words. */
const char *cgroup_strerror(int err);
/* Whether the folder is the root of all cgroups: the one that has no type. */
bool cgroup_is_root(const char *path);

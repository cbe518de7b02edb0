// SPDX-License-Identifier: GPL-2.0-or-later
#include "cgroup.h"

#include <bpf/libbpf.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "util.h"

#define PATH_BYTES 2048
#define LINE_BYTES 8192
#define MOUNTS_MAX 8
#define DEPTH_MAX  32 /* of nested cgroups that are searched */

/* A cgroup2 mount. Its root is as the process's cgroup namespace sees it: "/.." is above that. */
struct mount {
	unsigned int id;
	char root[PATH_BYTES], point[PATH_BYTES];
};

struct mounts {
	unsigned int n;
	struct mount items[MOUNTS_MAX];
};

/* ---- what is mounted -------------------------------------------------------------------- */

/* "\040" and its like, as the kernel writes blanks. In place. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		unsigned int code;

		if (*from == '\\' && sscanf(from + 1, "%3o", &code) == 1 && strlen(from) >= 4) {
			*to = (char)code;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

static int find_mounts(struct mounts *ret)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[LINE_BYTES];

	ret->n = 0;
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	while (ret->n < MOUNTS_MAX && fgets(line, sizeof(line), f)) {
		struct mount *m = &ret->items[ret->n];

		if (!strstr(line, " - cgroup2 ") ||
		    sscanf(line, "%u %*s %*s %2047s %2047s", &m->id, m->root, m->point) != 3)
			continue;
		unescape(m->root);
		unescape(m->point);
		ret->n++;
	}
	(void)fclose(f);
	return ret->n ? 0 : -ENODEV;
}

static int find_own(char *buf, size_t size)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[LINE_BYTES];
	int err = -ENODEV;

	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "0::", 3) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		err = snprintf(buf, size, "%s", line + 3) < (int)size ? 0 : -ENAMETOOLONG;
		break;
	}
	(void)fclose(f);
	return err;
}

/* ---- the process's own ------------------------------------------------------------------ */

/* What of `own` is below the mount's root: "" or "/..."; NULL: it is elsewhere. */
static const char *below(const struct mount *m, const char *own)
{
	size_t n = strcmp(m->root, "/") == 0 ? 0 : strlen(m->root);

	if (strncmp(own, m->root, n) != 0 || (own[n] != '/' && own[n] != '\0'))
		return NULL;
	return strcmp(own + n, "/") == 0 ? "" : own + n;
}

/* Whether what is there is of that mount, and no later one is in front of it. */
static bool is_of(const struct mount *m, const char *path)
{
	struct statx st;

	return statx(AT_FDCWD, path, 0, STATX_MNT_ID, &st) == 0 &&
	       (!(st.stx_mask & STATX_MNT_ID) || st.stx_mnt_id == m->id);
}

/* Where none shows the process's part: rather one that shows nothing above its namespace. */
static const struct mount *any_mount(const struct mounts *all)
{
	for (unsigned int i = 0; i < all->n; i++)
		if (strncmp(all->items[i].root, "/..", 3) != 0)
			return &all->items[i];
	return &all->items[0];
}

/* *top is the length of the mount's part. -EXDEV: no mount shows that cgroup. */
static int shown_path(const struct mounts *all, char *buf, size_t size, size_t *top)
{
	char own[PATH_BYTES] = "";
	int err = find_own(own, sizeof(own));

	for (unsigned int i = 0; !err && i < all->n; i++) {
		const char *rest = below(&all->items[i], own);

		if (!rest)
			continue;
		*top = strlen(all->items[i].point);
		if (snprintf(buf, size, "%s%s", all->items[i].point, rest) >= (int)size)
			return -ENAMETOOLONG;
		if (is_of(&all->items[i], buf))
			return 0;
	}
	return err ? err : -EXDEV;
}

/* The same, or any mount. */
static int own_path(const struct mounts *all, char *buf, size_t size, size_t *top)
{
	int err = shown_path(all, buf, size, top);

	if (err != -EXDEV)
		return err;
	if (snprintf(buf, size, "%s", any_mount(all)->point) >= (int)size)
		return -ENAMETOOLONG;
	*top = strlen(buf);
	return 0;
}

int cgroup_own_path(char *buf, size_t size)
{
	struct mounts all;
	int err = find_mounts(&all);
	size_t top;

	return err ? err : own_path(&all, buf, size, &top);
}

int cgroup_self_path(char *buf, size_t size)
{
	struct mounts all;
	int err = find_mounts(&all);
	size_t top;

	return err ? err : shown_path(&all, buf, size, &top);
}

int cgroup_top_path(char *buf, size_t size)
{
	struct mounts all;
	int err = find_mounts(&all);
	size_t top = 0;

	if (!err)
		err = own_path(&all, buf, size, &top);
	if (!err)
		buf[top] = '\0';
	return err;
}

/* ---- the pod's -------------------------------------------------------------------------- */

/* A cgroup has one number in all mounts. `path` has room for PATH_BYTES; it is that folder when it
 * was found, and else as it was. */
static bool search(char *path, ino_t wanted, unsigned int depth)
{
	DIR *dir = depth ? opendir(path) : NULL;
	size_t len = strlen(path);
	const struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    snprintf(path + len, PATH_BYTES - len, "/%s", entry->d_name) >=
			(int)(PATH_BYTES - len))
			continue;
		found = entry->d_ino == wanted || search(path, wanted, depth - 1);
	}
	if (!found)
		path[len] = '\0';
	if (dir)
		(void)closedir(dir);
	return found;
}

/* Of Kubernetes "kubepods-burstable-pod0123abcd_....slice", "pod0123abcd-....": a UUID, or a hash
 * of as many digits. Of podman "machine-libpod_pod_....slice". */
static bool is_pod_name(const char *name)
{
	const char *pod = strstr(name, "pod");
	size_t digits = 0;

	if (strstr(name, "libpod_pod_"))
		return true;
	while (pod && !isxdigit((unsigned char)pod[3])) /* kubepods */
		pod = strstr(pod + 3, "pod");
	for (pod = pod ? pod + 3 : ""; isxdigit((unsigned char)*pod) || *pod == '-' || *pod == '_';
	     pod++)
		digits += isxdigit((unsigned char)*pod) ? 1 : 0;
	return digits == 32;
}

/* A container's own, "libpod-HASH.scope" or "docker-HASH.scope", in which crun makes one more for
 * what runs. */
static bool is_container_scope(const char *name)
{
	const char *dot = strrchr(name, '.');
	size_t digits = 0;

	if (!dot || strcmp(dot, ".scope") != 0)
		return false;
	while (dot > name && isxdigit((unsigned char)dot[-1])) {
		dot--;
		digits++;
	}
	return digits == 64;
}

/* What is above the container that `path` is of: its length, which is `base` or more. */
static size_t above_container(size_t base, char *path)
{
	size_t end = (size_t)(strrchr(path, '/') - path);
	const char *name;

	path[end] = '\0';
	name = strrchr(path, '/') + 1;
	if (end > base && is_container_scope(name))
		end = (size_t)(name - 1 - path);
	path[strlen(path)] = '/';
	return end;
}

/* `path` is below its first `base` bytes, the mount point; it becomes the one above that is wanted,
 * which may be that. */
static void climb(size_t base, char *path)
{
	size_t direct = above_container(base, path), end = direct;

	while (end > base) {
		char *name;

		path[end] = '\0';
		name = strrchr(path, '/') + 1;
		if (is_pod_name(name))
			return;
		path[end] = '/';
		end = (size_t)(name - 1 - path);
	}
	path[direct] = '\0';
}

int cgroup_pod_path(char *buf, size_t size)
{
	char path[PATH_BYTES];
	struct mounts all;
	struct stat st;
	size_t top;
	int err = find_mounts(&all);

	if (!err)
		err = shown_path(&all, path, sizeof(path), &top);
	if (!err && stat(path, &st) < 0)
		err = -errno;
	for (unsigned int i = 0; !err && i < all.n; i++) {
		const struct mount *m = &all.items[i];

		(void)snprintf(path, sizeof(path), "%s", m->point);
		if (!search(path, st.st_ino, DEPTH_MAX))
			continue;
		climb(strlen(m->point), path);
		return snprintf(buf, size, "%s", path) < (int)size ? 0 : -ENAMETOOLONG;
	}
	return err ? err : -EXDEV;
}

int cgroup_attach(const struct bpf_program *prog, int fd, struct bpf_link **ret)
{
	*ret = bpf_program__attach_cgroup(prog, fd);
	if (*ret)
		return 0;
	return errno == E2BIG ? -EUSERS : -errno;
}

const char *cgroup_strerror(int err)
{
	switch (err) {
	case -EUSERS:
		return "it has 64 programs of that kind, as many as the kernel lets it have";
	case -ENODEV:
		return "no cgroup2 is mounted";
	case -ESRCH:
		return "/proc is not mounted";
	case -ENOTTY:
		return "no cgroup: it is not of a cgroup2 mount";
	case -EXDEV:
		return "no mount of cgroup2 shows it: mount the host's /sys/fs/cgroup into the "
		       "container, read-only, and not in the place of the container's own";
	default:
		return strerror(-err);
	}
}

int cgroup_is(const char *path)
{
	struct statfs fs;

	if (statfs(path, &fs) < 0)
		return -errno;
	return fs.f_type == CGROUP2_SUPER_MAGIC ? 0 : -ENOTTY;
}

bool cgroup_is_root(const char *path)
{
	char file[4200];

	(void)snprintf(file, sizeof(file), "%s/cgroup.controllers", path);
	if (access(file, F_OK) < 0)
		return false;
	(void)snprintf(file, sizeof(file), "%s/cgroup.type", path);
	return access(file, F_OK) < 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
#include "obstacle.h"

#include <errno.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../util.h"

#define BTF_PATH "/sys/kernel/btf/vmlinux"
/* PROC_USER_INIT_INO of the kernel: the same on every machine. */
#define INITIAL_USER_NAMESPACE 0xEFFFFFFDu

const char *const obstacle_check[_OBSTACLE_MAX] = {
    [OBSTACLE_BPF_BLOCKED] = "bpf",         [OBSTACLE_USER_NAMESPACE] = "user_namespace",
    [OBSTACLE_CAP_BPF] = "cap_bpf",         [OBSTACLE_CAP_NET_ADMIN] = "cap_net_admin",
    [OBSTACLE_CAP_PERFMON] = "cap_perfmon", [OBSTACLE_NO_BTF] = "btf",
};

const char *const obstacle_fact[_OBSTACLE_MAX] = {
    [OBSTACLE_BPF_BLOCKED] = "bpf(2) reaches the kernel",
    [OBSTACLE_USER_NAMESPACE] = "capabilities count in the initial one only",
    [OBSTACLE_CAP_BPF] = "loading programs and maps",
    [OBSTACLE_CAP_NET_ADMIN] = "sockhashes, sockops and stream verdict programs",
    [OBSTACLE_CAP_PERFMON] = "reading a segment's sequence number and a thread's process",
    [OBSTACLE_NO_BTF] = "the programs find kernel fields by their names",
};

/* A command that does not exist is -EINVAL for everybody whose call gets through. */
static bool bpf_is_blocked(char why[128])
{
	union bpf_attr attr = {0};

	if (syscall(SYS_bpf, INT_MAX, &attr, sizeof(attr)) >= 0 || errno == EINVAL)
		return false;
	if (errno == ENOSYS)
		(void)snprintf(why, 128, "bpf(2) is missing or blocked (a seccomp profile?)");
	else
		(void)snprintf(why, 128, "bpf(2) is blocked (a seccomp profile?)");
	return true;
}

static bool in_user_namespace(char why[128])
{
	struct stat st;

	/* Without /proc it is not known, and not blamed. */
	if (stat("/proc/self/ns/user", &st) < 0 || st.st_ino == INITIAL_USER_NAMESPACE)
		return false;
	(void)snprintf(why, 128, "not the initial user namespace");
	return true;
}

static bool lacks_capability(cap_value_t cap, const char *name, char why[128])
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t set = CAP_CLEAR, admin = CAP_CLEAR;

	if (caps) {
		(void)cap_get_flag(caps, cap, CAP_EFFECTIVE, &set);
		(void)cap_get_flag(caps, CAP_SYS_ADMIN, CAP_EFFECTIVE, &admin);
		(void)cap_free(caps);
	}
	/* CAP_SYS_ADMIN stands for the two that were once part of it. */
	if (set == CAP_SET || (admin == CAP_SET && cap != CAP_NET_ADMIN))
		return false;
	(void)snprintf(why, 128, "%s is missing", name);
	return true;
}

static bool lacks_btf(char why[128])
{
	if (access(BTF_PATH, R_OK) == 0)
		return false;
	(void)snprintf(why, 128, "no BTF: " BTF_PATH ": %s", strerror(errno));
	return true;
}

bool obstacle_is_there(enum obstacle o, char why[128])
{
	why[0] = '\0';
	switch (o) {
	case OBSTACLE_BPF_BLOCKED:
		return bpf_is_blocked(why);
	case OBSTACLE_USER_NAMESPACE:
		return in_user_namespace(why);
	case OBSTACLE_CAP_BPF:
		return lacks_capability(CAP_BPF, "CAP_BPF", why);
	case OBSTACLE_CAP_NET_ADMIN:
		return lacks_capability(CAP_NET_ADMIN, "CAP_NET_ADMIN", why);
	case OBSTACLE_CAP_PERFMON:
		return lacks_capability(CAP_PERFMON, "CAP_PERFMON", why);
	case OBSTACLE_NO_BTF:
		return lacks_btf(why);
	default:
		return false;
	}
}

void obstacles_describe(char *buf, size_t size)
{
	bool in_namespace = false;
	char why[128];
	size_t n = 0;

	buf[0] = '\0';
	for (int i = 0; i < _OBSTACLE_MAX; i++) {
		enum obstacle o = (enum obstacle)i;
		bool is_cap = o >= OBSTACLE_CAP_BPF && o <= OBSTACLE_CAP_PERFMON;

		if ((is_cap && in_namespace) || !obstacle_is_there(o, why))
			continue;
		in_namespace |= o == OBSTACLE_USER_NAMESPACE;
		if (n < size)
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? "; " : "", why);
	}
}

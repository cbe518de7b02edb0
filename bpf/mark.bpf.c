// SPDX-License-Identifier: GPL-2.0-only
/* The daemon's sockets are known as such to whoever intercepts: see INTERCEPT_MARK. */
/* No type of the kernel is looked into: loading it would take the time to read them all. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "intercept-api.h"

char LICENSE[] SEC("license") = "GPL";

volatile __u32 own = 0; /* the daemon's process, in the initial namespace */

/* Run by the daemon itself. In a namespace of its own it does not know the id that counts here. */
SEC("syscall")
int introduce_marked(void *context __attribute__((unused)))
{
	own = bpf_get_current_pid_tgid() >> 32;
	return 0;
}

/* Attached to the daemon's own cgroup, in which there may be others. */
SEC("cgroup/sock_create")
int mark(struct bpf_sock *sk)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (tgid && tgid == own)
		sk->priority = INTERCEPT_MARK;
	return 1;
}

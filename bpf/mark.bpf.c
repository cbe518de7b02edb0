// SPDX-License-Identifier: GPL-2.0-only
/* The daemon's sockets are known as such to whoever intercepts, or joins applications: see
 * INTERCEPT_MARK. */
/* No type of the kernel is looked into: loading it would take the time to read them all. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "intercept-api.h"

char LICENSE[] SEC("license") = "GPL";

#define SOL_SOCKET  1
#define SO_PRIORITY 12

volatile __u32 own = 0; /* the daemon's process, in the initial namespace */

/* Of the daemon's listeners, which it puts here, and so of what they accept. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, __u32);
} listens SEC(".maps");

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

/*
 * Attached to the same. What a listener accepts has not its priority (sk_clone_lock()): who joins
 * applications takes it for one, unless it has the mark again. For a daemon that copies: what the
 * kernel engine is given is known by its flags, and this would be called with each segment of that.
 */
SEC("sockops")
int mark_accepted(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	__u32 priority = INTERCEPT_MARK;

	if (sk && ops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB &&
	    bpf_sk_storage_get(&listens, sk, 0, 0))
		(void)bpf_setsockopt(ops, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority));
	return 1;
}

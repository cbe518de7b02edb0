/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another agent's sockops program: it wants no callback of any connection of its cgroup, from the
 * moment on that one is established, whoever asked for some before.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("sockops")
int foreign(struct bpf_sock_ops *ops)
{
	if (ops->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB ||
	    ops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		bpf_sock_ops_cb_flags_set(ops, 0);
	return 1;
}

char _license[] SEC("license") = "GPL";

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What may keep the programs from being loaded, each found by looking for it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum obstacle {
	OBSTACLE_BPF_BLOCKED,    /* bpf(2) does not reach the kernel */
	OBSTACLE_USER_NAMESPACE, /* capabilities of another one than the initial mean nothing here
				  */
	OBSTACLE_CAP_BPF,
	OBSTACLE_CAP_NET_ADMIN,
	OBSTACLE_CAP_PERFMON,
	OBSTACLE_NO_BTF,
	_OBSTACLE_MAX,
};

/* Of each: the name of its check, and what it is good for. */
extern const char *const obstacle_check[_OBSTACLE_MAX];
extern const char *const obstacle_fact[_OBSTACLE_MAX];

/* Whether it is there, and in a few words what it is ("bpf(2) is blocked (a seccomp profile?)"). */
bool obstacle_is_there(enum obstacle o, char why[128]);
/* Those that are there, for a message: "CAP_BPF and CAP_PERFMON are missing; no BTF: ..."; "" if
 * there are none. In a user namespace nothing is said of capabilities. */
void obstacles_describe(char *buf, size_t size);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the objects of programs that deal with connects have in common: rules, maps that are handed
 * on, and what is left of an object when it is attached. */
#pragma once

#include <bpf/libbpf.h>

#include "../config/destination.h"
#include "intercept-api.h"

/* A network and its ports, as the programs have them. */
void rule_of(const struct destination *d, struct intercept_rule *ret);

/*
 * *fd is a map that a process before this one has made, or -1. The object uses it, or, where there
 * is none or it is not what it is said to be (then it is closed, and *fd is -1), makes its own.
 * Before loading. 0 or a negative errno.
 */
int object_take_map(struct bpf_map *map, int *fd);
/* After it: a descriptor of the map, where *fd is none. */
int object_keep_map(const struct bpf_map *map, int *fd);
/* 0 or a negative errno. */
int object_attach(struct bpf_program *prog, int cgroup, struct bpf_link **link);
/* Closes the programs, which the links keep, and the BTF: whoever takes this process over can
 * attach nothing elsewhere. */
void object_drop_programs(const struct bpf_object *obj);
/* What went wrong at that step, and what may be the reason. */
void object_explain(int err, const char *step, char why[256]);

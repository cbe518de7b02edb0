/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of the kernel's types that a BPF object is about, in a file of its own. libbpf reads all
 * of them into memory, twice, and looks through them for each of the object's: to have it look
 * through these instead takes a fraction of the time and the memory.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct btf;

#define BTF_KERNEL          "/sys/kernel/btf/vmlinux"
#define BTF_SUBSET_PATH_MAX 32

/*
 * Writes those types of a file of BTF that have the name of a struct, a union, an enum or a typedef
 * of `own`, whatever stands there behind "___", and what they contain; of what they point to
 * nothing but that there is a pointer. That is what relocations of fields, enumerators and sizes
 * look at. The file has no name but `path`, which is good for bpf_object_open_opts as long as its
 * descriptor, *ret_fd, is open. 0 or a negative errno, with *ret_fd -1: then libbpf has to look
 * through all of them.
 */
int btf_subset(const char *from, const struct btf *own, int *ret_fd,
	       char path[BTF_SUBSET_PATH_MAX]);

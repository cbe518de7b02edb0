/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's BTF (the types that it is made of), read piece by piece: as a whole it is 5 MB or
 * more, of which a program needs a few KB. Offsets are those of the file.
 */
#pragma once

#include <linux/btf.h>
#include <stdint.h>

#define BTF_WINDOW (64u << 10)
/* The place of one in so many types is kept. */
#define BTF_INDEX_EVERY 32

struct btf_source {
	int fd;
	uint32_t types, types_end;     /* where they are */
	uint32_t strings, strings_end; /* each with a NUL; a name is an offset in these */
	uint32_t *index;               /* of the types 1, 33, 65...: see btf_source_walk() */
	uint32_t n_types;
	uint32_t at, have; /* what is in the window */
	uint8_t window[BTF_WINDOW] __attribute__((aligned(8)));
};

/* 0 or a negative errno; -EINVAL: that is no BTF, or of another version or byte order. To be closed
 * in any case. */
int btf_source_open(struct btf_source *s, const char *path);
void btf_source_close(struct btf_source *s);

/* So many bytes of the file, valid until the next call; NULL: it does not have them, or they are
 * more than BTF_WINDOW. */
const void *btf_source_at(struct btf_source *s, uint32_t at, uint32_t len);

/* With all that belongs to it, in bytes; 0: of a kind that is not known. */
uint32_t btf_record_size(const struct btf_type *t);

/* Calls `see` for each type, in order of their numbers, which begin with 1, and keeps where they
 * are. 0, what `see` has returned otherwise, or a negative errno. */
typedef int (*btf_see)(void *arg, uint32_t id, const struct btf_type *t);
int btf_source_walk(struct btf_source *s, btf_see see, void *arg);

/* A type that was walked past, whole; valid until the next call. NULL: there is none. */
const struct btf_type *btf_source_type(struct btf_source *s, uint32_t id);

// SPDX-License-Identifier: GPL-2.0-or-later
#include "subset.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "../util.h"
#include "source.h"

/* Longer names are in no program. */
#define NAME_MAX_BYTES 256
/* What is looked for: by its name, and then by that one's offset among the kernel's strings. */
#define WANTED_MAX 1024
/* An object's types and what they contain are some hundreds. A power of two. */
#define TYPES_MAX 8192
#define FILTER    4096

struct wanted {
	const char *name; /* of `own`; not ended, see len */
	size_t len;
	uint32_t offset;
};

struct numbers {
	uint32_t *list;
	size_t n, space;
};

struct bytes {
	uint8_t *data;
	size_t n, space;
};

struct subset {
	struct btf_source source;
	struct wanted wanted[WANTED_MAX];
	size_t n_wanted;
	bool maybe[FILTER];      /* there may be a wanted one with that hash */
	uint32_t ids[TYPES_MAX]; /* of the kernel's types that are taken, in the order of ours */
	uint32_t
	    slots[2 * TYPES_MAX]; /* our number of a type, by a hash of the kernel's; 0: none */
	uint32_t n_types;
	struct bytes types, strings; /* ours */
	struct numbers names;        /* the kernel's offsets, in order; and ours, beside them */
	uint32_t *our_names;
};

/* ---- growing ---------------------------------------------------------------------------- */

/* Room for `more` of these behind the n that are there. */
static void *grow(void *old, size_t n, size_t more, size_t *space, size_t size)
{
	size_t want = MAX(2 * *space, n + more);
	void *bigger;

	if (n + more <= *space)
		return old;
	bigger = reallocarray(old, want, size);
	if (bigger)
		*space = want;
	return bigger;
}

static int put(struct bytes *b, const void *data, size_t len)
{
	uint8_t *bigger = len ? grow(b->data, b->n, len, &b->space, 1) : NULL;

	if (!len)
		return 0;
	if (!bigger)
		return -ENOMEM;
	b->data = bigger;
	memcpy(b->data + b->n, data, len);
	b->n += len;
	return 0;
}

static int put_number(struct numbers *l, uint32_t number)
{
	uint32_t *bigger = grow(l->list, l->n, 1, &l->space, sizeof(*l->list));

	if (!bigger)
		return -ENOMEM;
	l->list = bigger;
	l->list[l->n++] = number;
	return 0;
}

/* ---- which names ------------------------------------------------------------------------ */

static size_t hash_name(const char *name, size_t len)
{
	return ((uint8_t)name[0] * 37 + (uint8_t)name[len / 2] * 11 + (uint8_t)name[len - 1] * 5 +
		len) %
	       FILTER;
}

static size_t hash_offset(uint32_t offset)
{
	return offset * UINT32_C(2654435761) >> 20; /* 12 bits, as FILTER */
}

static int want_all(struct subset *s, const struct btf *own)
{
	for (uint32_t id = 1; id < btf__type_cnt(own); id++) {
		const struct btf_type *t = btf__type_by_id(own, id);
		const char *name = btf__name_by_offset(own, t->name_off), *flavor;
		size_t len = name ? strlen(name) : 0;

		if (!len || !(btf_is_composite(t) || btf_is_any_enum(t) || btf_is_typedef(t)))
			continue;
		flavor = strstr(name + 1, "___");
		if (flavor)
			len = (size_t)(flavor - name);
		if (s->n_wanted == WANTED_MAX)
			return -E2BIG;
		s->wanted[s->n_wanted++] = (struct wanted){.name = name, .len = len};
		s->maybe[hash_name(name, len)] = true;
	}
	return 0;
}

static void found(struct subset *s, const char *name, size_t len, uint32_t offset)
{
	if (!len || !s->maybe[hash_name(name, len)])
		return;
	for (size_t i = 0; i < s->n_wanted; i++)
		if (s->wanted[i].len == len && memcmp(s->wanted[i].name, name, len) == 0)
			s->wanted[i].offset = offset;
}

/* Where the kernel has these names: each is there once. */
static int find_names(struct subset *s)
{
	uint32_t at = s->source.strings, end = s->source.strings_end, room;

	for (uint32_t len; at < end; at += len + (len < room)) {
		const char *text;

		room = MIN(end - at, (uint32_t)NAME_MAX_BYTES);
		text = btf_source_at(&s->source, at, room);
		if (!text)
			return -EINVAL;
		len = (uint32_t)strnlen(text, room);
		if (len < room)
			found(s, text, len, at - s->source.strings);
	}
	memset(s->maybe, 0, sizeof(s->maybe));
	for (size_t i = 0; i < s->n_wanted; i++)
		if (s->wanted[i].offset)
			s->maybe[hash_offset(s->wanted[i].offset)] = true;
	return 0;
}

static bool is_wanted(const struct subset *s, uint32_t name)
{
	if (!name || !s->maybe[hash_offset(name)])
		return false;
	for (size_t i = 0; i < s->n_wanted; i++)
		if (s->wanted[i].offset == name)
			return true;
	return false;
}

/* ---- which types ------------------------------------------------------------------------ */

/* Where our number of it is kept, or would be. */
static uint32_t *slot_of(struct subset *s, uint32_t id)
{
	uint32_t i = id * UINT32_C(2654435761) >> 18; /* 14 bits, as 2 * TYPES_MAX */

	while (s->slots[i] && s->ids[s->slots[i] - 1] != id)
		i = (i + 1) % (2 * TYPES_MAX);
	return &s->slots[i];
}

static int take(struct subset *s, uint32_t id)
{
	uint32_t *slot = slot_of(s, id);

	if (!id || *slot)
		return 0; /* void, or there */
	if (s->n_types == TYPES_MAX)
		return -E2BIG;
	s->ids[s->n_types] = id;
	*slot = ++s->n_types;
	return 0;
}

static int take_if_wanted(void *arg, uint32_t id, const struct btf_type *t)
{
	struct subset *s = arg;

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_TYPEDEF:
		return is_wanted(s, t->name_off) ? take(s, id) : 0;
	default:
		return 0;
	}
}

/* ---- what is in a record ---------------------------------------------------------------- */

/* What stands for something in a record: the number of a type, or the offset of a name. */
typedef int (*ref_fn)(struct subset *s, uint32_t *ref);

/* The first field of each entry is its name; all of them are of numbers of 32 bits. */
static int each_name(struct subset *s, struct btf_type *t, ref_fn fn)
{
	uint32_t n = BTF_INFO_VLEN(t->info), *entry = (uint32_t *)(t + 1);
	size_t fields = 0;
	int err = fn(s, &t->name_off);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		fields = sizeof(struct btf_member) / sizeof(*entry);
		break;
	case BTF_KIND_ENUM:
		fields = sizeof(struct btf_enum) / sizeof(*entry);
		break;
	case BTF_KIND_ENUM64:
		fields = sizeof(struct btf_enum64) / sizeof(*entry);
		break;
	default:
		return err;
	}
	for (; !err && n; n--, entry += fields)
		err = fn(s, entry);
	return err;
}

static int each_type(struct subset *s, struct btf_type *t, ref_fn fn)
{
	struct btf_array *array = (struct btf_array *)(t + 1);
	struct btf_member *member = (struct btf_member *)(t + 1);
	int err = 0;

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_CONST:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
		return fn(s, &t->type);
	case BTF_KIND_ARRAY:
		err = fn(s, &array->type);
		return err ? err : fn(s, &array->index_type);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		for (uint32_t n = BTF_INFO_VLEN(t->info); !err && n; n--, member++)
			err = fn(s, &member->type);
		return err;
	default:
		return 0;
	}
}

static int take_ref(struct subset *s, uint32_t *id)
{
	return take(s, *id);
}

static int note_name(struct subset *s, uint32_t *name)
{
	return put_number(&s->names, *name);
}

/* As it is in the kernel's, and all that it contains. */
static int copy(struct subset *s, uint32_t id)
{
	static const struct btf_type pointer = {.info = BTF_KIND_PTR << 24};
	const struct btf_type *t = btf_source_type(&s->source, id);
	size_t at = s->types.n;
	struct btf_type *own;
	int err;

	if (!t)
		return -EINVAL;
	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_PTR:
	case BTF_KIND_FUNC_PROTO:
		return put(&s->types, &pointer, sizeof(pointer));
	case BTF_KIND_FUNC:
	case BTF_KIND_VAR:
	case BTF_KIND_DATASEC:
	case BTF_KIND_DECL_TAG:
		return -EINVAL; /* nothing contains it */
	default:
		break;
	}
	err = put(&s->types, t, btf_record_size(t));
	if (err)
		return err;
	own = (struct btf_type *)(s->types.data + at);
	err = each_name(s, own, note_name);
	return err ? err : each_type(s, own, take_ref);
}

static int copy_all(struct subset *s)
{
	int err = 0;

	/* Those that they contain are put behind them. */
	for (uint32_t i = 0; !err && i < s->n_types; i++)
		err = copy(s, s->ids[i]);
	return err;
}

/* ---- names ------------------------------------------------------------------------------ */

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int copy_name(struct subset *s, uint32_t offset)
{
	uint32_t at = s->source.strings + offset, room;
	const char *text;
	size_t len;

	if (at >= s->source.strings_end)
		return -EINVAL;
	room = MIN(s->source.strings_end - at, (uint32_t)NAME_MAX_BYTES);
	text = btf_source_at(&s->source, at, room);
	if (!text)
		return -EINVAL;
	/* One that is longer is cut off: no program asks for it. */
	len = strnlen(text, room - 1);
	return put(&s->strings, text, len) < 0 ? -ENOMEM : put(&s->strings, "", 1);
}

/* Each once, in the order in which they are read, the empty one first. */
static int copy_names(struct subset *s)
{
	size_t n = 0;
	int err = put_number(&s->names, 0);

	if (err)
		return err;
	qsort(s->names.list, s->names.n, sizeof(*s->names.list), by_number);
	for (size_t i = 0; i < s->names.n; i++)
		if (!n || s->names.list[i] != s->names.list[n - 1])
			s->names.list[n++] = s->names.list[i];
	s->names.n = n;
	s->our_names = calloc(n + 1, sizeof(*s->our_names));
	if (!s->our_names)
		return -ENOMEM;
	for (size_t i = 0; !err && i < n; i++) {
		s->our_names[i] = (uint32_t)s->strings.n;
		err = copy_name(s, s->names.list[i]);
	}
	return err;
}

/* ---- writing ---------------------------------------------------------------------------- */

static int our_name(struct subset *s, uint32_t *name)
{
	const uint32_t *there = bsearch(name, s->names.list, s->names.n, sizeof(*name), by_number);

	*name = s->our_names[there - s->names.list];
	return 0;
}

static int our_type(struct subset *s, uint32_t *id)
{
	*id = *id ? *slot_of(s, *id) : 0;
	return 0;
}

static void renumber(struct subset *s)
{
	for (size_t at = 0; at < s->types.n;) {
		struct btf_type *t = (struct btf_type *)(s->types.data + at);

		(void)each_name(s, t, our_name); /* neither fails */
		(void)each_type(s, t, our_type);
		at += btf_record_size(t);
	}
}

static bool write_all(int fd, const void *data, size_t len)
{
	return write(fd, data, len) == (ssize_t)len;
}

static int write_file(const struct subset *s, int *ret_fd, char path[BTF_SUBSET_PATH_MAX])
{
	const struct btf_header h = {.magic = BTF_MAGIC,
				     .version = BTF_VERSION,
				     .hdr_len = sizeof(h),
				     .type_len = (uint32_t)s->types.n,
				     .str_off = (uint32_t)s->types.n,
				     .str_len = (uint32_t)s->strings.n};
	_cleanup_close_ int fd = memfd_create("spliced-btf", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	errno = ENOSPC;
	if (!write_all(fd, &h, sizeof(h)) || !write_all(fd, s->types.data, s->types.n) ||
	    !write_all(fd, s->strings.data, s->strings.n))
		return -errno;
	(void)snprintf(path, BTF_SUBSET_PATH_MAX, "/proc/self/fd/%d", fd);
	if (access(path, R_OK) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int make(struct subset *s, const struct btf *own, int *ret_fd,
		char path[BTF_SUBSET_PATH_MAX])
{
	int err = want_all(s, own);

	if (!err)
		err = find_names(s);
	if (!err)
		err = btf_source_walk(&s->source, take_if_wanted, s);
	if (!err)
		err = copy_all(s);
	if (!err)
		err = copy_names(s);
	if (err)
		return err;
	renumber(s);
	return write_file(s, ret_fd, path);
}

int btf_subset(const char *from, const struct btf *own, int *ret_fd, char path[BTF_SUBSET_PATH_MAX])
{
	struct subset *s = calloc(1, sizeof(*s));
	int err;

	*ret_fd = -1;
	if (!s)
		return -ENOMEM;
	err = btf_source_open(&s->source, from);
	if (!err)
		err = make(s, own, ret_fd, path);
	btf_source_close(&s->source);
	free(s->types.data);
	free(s->strings.data);
	free(s->names.list);
	free(s->our_names);
	free(s);
	return err;
}

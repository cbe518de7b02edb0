// SPDX-License-Identifier: GPL-2.0-or-later
/* The part of the kernel's types that libbpf is given: what it says of programs is what all of them
 * say. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "../../daemon/btf/source.h"
#include "../../daemon/btf/subset.h"
#include "../../daemon/util.h"
#include "bypass.skel.h"
#include "splice.skel.h"

/* ---- a small kernel --------------------------------------------------------------------- */

/* Types enough for several windows, of which few are asked for. */
#define OTHERS 20000

/* Number of the type that was added. */
static int added(int id)
{
	assert_true(id > 0);
	return id;
}

static void field(struct btf *b, const char *name, int type, uint32_t bit, uint32_t bits)
{
	assert_int_equal(btf__add_field(b, name, type, bit, bits), 0);
}

static void add_others(struct btf *b)
{
	char name[32];

	for (int i = 0; i < OTHERS; i++) {
		(void)snprintf(name, sizeof(name), "other_%d", i);
		(void)added(btf__add_struct(b, name, 4));
		field(b, "x", 1, 0, 0);
	}
}

static void add_wanted(struct btf *b)
{
	int number = 1, inner, list, alias, pointer, anonymous, state;

	inner = added(btf__add_struct(b, "inner", 8));
	field(b, "a", number, 0, 0);
	field(b, "flags", number, 32, 3);
	list = added(btf__add_array(b, number, inner, 5));
	alias = added(btf__add_typedef(b, "inner_t", list));
	pointer = added(btf__add_ptr(b, added(btf__add_struct(b, "far", 4))));
	pointer = added(btf__add_const(b, pointer));
	anonymous = added(btf__add_union(b, NULL, 8));
	field(b, "in_union", pointer, 0, 0);
	add_others(b);
	(void)added(btf__add_struct(b, "thing", 64));
	field(b, "first", alias, 0, 0);
	field(b, "", anonymous, 320, 0);
	state = added(btf__add_enum64(b, "state", 8, false));
	assert_int_equal(btf__add_enum64_value(b, "HUGE_ONE", UINT64_C(1) << 40), 0);
	(void)added(btf__add_enum(b, "kind", 4));
	assert_int_equal(btf__add_enum_value(b, "KIND_X", 7), 0);
	(void)added(
	    btf__add_func(b, "thing", BTF_FUNC_STATIC, added(btf__add_func_proto(b, state))));
}

static int file_of(const void *data, size_t size, char path[BTF_SUBSET_PATH_MAX])
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	(void)snprintf(path, BTF_SUBSET_PATH_MAX, "/proc/self/fd/%d", fd);
	return fd;
}

static struct btf *small_kernel(void)
{
	struct btf *b = btf__new_empty();

	assert_non_null(b);
	assert_int_equal(btf__add_int(b, "int", 4, BTF_INT_SIGNED), 1);
	add_wanted(b);
	return b;
}

/* As a program declares what it looks at. */
static struct btf *program(void)
{
	struct btf *b = btf__new_empty();

	assert_non_null(b);
	(void)added(btf__add_struct(b, "thing___old", 4));
	(void)added(btf__add_struct(b, "nowhere", 4));
	(void)added(btf__add_enum(b, "kind", 4));
	(void)added(btf__add_enum(b, "state", 4));
	return b;
}

static const struct btf_type *find(const struct btf *b, const char *name, uint32_t kind)
{
	int id = btf__find_by_name_kind(b, name, kind);

	return id > 0 ? btf__type_by_id(b, (uint32_t)id) : NULL;
}

static const struct btf_type *type_of(const struct btf *b, const struct btf_type *t,
				      uint32_t member)
{
	return btf__type_by_id(b, btf_members(t)[member].type);
}

static void check_thing(const struct btf *b)
{
	const struct btf_type *thing = find(b, "thing", BTF_KIND_STRUCT), *t;

	assert_non_null(thing);
	assert_int_equal(thing->size, 64);
	assert_int_equal(btf_vlen(thing), 2);
	assert_string_equal(btf__name_by_offset(b, btf_members(thing)[0].name_off), "first");
	assert_int_equal(btf_member_bit_offset(thing, 1), 320);
	/* What it contains, down to the last bit field. */
	t = type_of(b, thing, 0);
	assert_true(btf_is_typedef(t));
	t = btf__type_by_id(b, t->type);
	assert_true(btf_is_array(t));
	assert_int_equal(btf_array(t)->nelems, 5);
	t = btf__type_by_id(b, btf_array(t)->type);
	assert_string_equal(btf__name_by_offset(b, t->name_off), "inner");
	assert_int_equal(btf_member_bitfield_size(t, 1), 3);
	assert_string_equal(btf__name_by_offset(b, type_of(b, t, 0)->name_off), "int");
	/* ... and of what it points to that there is a pointer. */
	t = type_of(b, thing, 1);
	assert_true(btf_is_union(t));
	t = type_of(b, t, 0);
	assert_true(btf_is_const(t));
	t = btf__type_by_id(b, t->type);
	assert_true(btf_is_ptr(t));
	assert_int_equal(t->type, 0);
	assert_null(find(b, "far", BTF_KIND_STRUCT));
	assert_null(find(b, "other_7", BTF_KIND_STRUCT));
}

static void test_what_is_taken(void **state _unused_)
{
	struct btf *kernel = small_kernel(), *own = program(), *part;
	char from[BTF_SUBSET_PATH_MAX], path[BTF_SUBSET_PATH_MAX];
	const struct btf_type *t;
	const void *data;
	uint32_t size;
	int file, fd;

	data = btf__raw_data(kernel, &size);
	file = file_of(data, size, from);
	assert_int_equal(btf_subset(from, own, &fd, path), 0);
	part = btf__parse(path, NULL);
	assert_int_equal(libbpf_get_error(part), 0);
	check_thing(part);
	t = find(part, "kind", BTF_KIND_ENUM);
	assert_non_null(t);
	assert_int_equal(btf_enum(t)->val, 7);
	assert_string_equal(btf__name_by_offset(part, btf_enum(t)->name_off), "KIND_X");
	t = find(part, "state", BTF_KIND_ENUM64);
	assert_non_null(t);
	assert_int_equal(btf_enum64_value(btf_enum64(t)), UINT64_C(1) << 40);
	assert_true(btf__type_cnt(part) < 20);
	btf__free(part);
	btf__free(own);
	btf__free(kernel);
	(void)close(fd);
	(void)close(file);
}

/* Whatever is cut off: an error, and nothing that is read beyond its end. */
static void test_files_that_are_none(void **state _unused_)
{
	struct btf *kernel = small_kernel(), *own = program();
	char from[BTF_SUBSET_PATH_MAX], path[BTF_SUBSET_PATH_MAX];
	uint32_t size, cut[] = {0, 10, 23, 24, 30, 40000, 100000};
	const uint8_t *data = btf__raw_data(kernel, &size);
	uint8_t *bad = malloc(size);
	int file, fd;

	assert_non_null(bad);
	memcpy(bad, data, size);
	for (size_t i = 0; i < ARRAY_SIZE(cut); i++) {
		file = file_of(data, cut[i], from);
		assert_int_equal(btf_subset(from, own, &fd, path), -EINVAL);
		assert_int_equal(fd, -1);
		(void)close(file);
	}
	for (size_t i = 0; i < sizeof(struct btf_header); i += 4) {
		memset(bad + i, 0xff, 4);
		file = file_of(bad, size, from);
		assert_int_equal(btf_subset(from, own, &fd, path), -EINVAL);
		(void)close(file);
		memcpy(bad + i, data + i, 4);
	}
	/* A kind of a later version. */
	((struct btf_type *)(bad + sizeof(struct btf_header)))->info = UINT32_C(31) << 24;
	file = file_of(bad, size, from);
	assert_int_equal(btf_subset(from, own, &fd, path), -EINVAL);
	assert_int_equal(btf_subset("/nowhere", own, &fd, path), -ENOENT);
	(void)close(file);
	free(bad);
	btf__free(own);
	btf__free(kernel);
}

/* ---- the kernel that runs --------------------------------------------------------------- */

typedef const void *(*elf_fn)(size_t *size);

static int say_nothing(enum libbpf_print_level level _unused_, const char *fmt _unused_,
		       va_list args _unused_)
{
	return 0;
}

/* Loaded, with all of the types or with these; NULL: it cannot be here. */
static struct bpf_object *load(elf_fn elf, const char *types)
{
	LIBBPF_OPTS(bpf_object_open_opts, o, .btf_custom_path = types);
	struct bpf_object *object;
	struct bpf_map *map;
	size_t size;
	const void *data = elf(&size);

	object = bpf_object__open_mem(data, size, &o);
	assert_non_null(object);
	bpf_object__for_each_map(map, object)
	{
		if (!bpf_map__max_entries(map) && bpf_map__type(map) != BPF_MAP_TYPE_SK_STORAGE)
			assert_int_equal(bpf_map__set_max_entries(map, 16), 0);
	}
	if (bpf_object__load(object) == 0)
		return object;
	bpf_object__close(object);
	return NULL;
}

/* But for the descriptors of maps, which are in some of them. */
static void check_same(const struct bpf_program *a, const struct bpf_program *b)
{
	const struct bpf_insn *x = bpf_program__insns(a), *y = bpf_program__insns(b);
	size_t n = bpf_program__insn_cnt(a);

	assert_int_equal(n, bpf_program__insn_cnt(b));
	for (size_t i = 0; i < n; i++) {
		bool map = x[i].code == (BPF_LD | BPF_IMM | BPF_DW) && x[i].src_reg;

		assert_int_equal(x[i].code, y[i].code);
		assert_int_equal(x[i].dst_reg, y[i].dst_reg);
		assert_int_equal(x[i].src_reg, y[i].src_reg);
		assert_int_equal(x[i].off, y[i].off);
		if (!map)
			assert_int_equal(x[i].imm, y[i].imm);
	}
}

static void check_object(elf_fn elf)
{
	char path[BTF_SUBSET_PATH_MAX];
	struct bpf_object *all, *part;
	struct bpf_program *p, *q = NULL;
	int fd;

	(void)libbpf_set_print(say_nothing);
	all = load(elf, NULL);
	if (!all)
		skip();
	assert_int_equal(btf_subset(BTF_KERNEL, bpf_object__btf(all), &fd, path), 0);
	part = load(elf, path);
	assert_non_null(part);
	bpf_object__for_each_program(p, all)
	{
		q = bpf_object__next_program(part, q);
		assert_string_equal(bpf_program__name(p), bpf_program__name(q));
		check_same(p, q);
	}
	bpf_object__close(part);
	bpf_object__close(all);
	(void)close(fd);
}

static void test_programs_of_the_engine(void **state _unused_)
{
	check_object(splice_bpf__elf_bytes);
}

static void test_programs_of_the_bypass(void **state _unused_)
{
	check_object(bypass_bpf__elf_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_is_taken),
	    cmocka_unit_test(test_files_that_are_none),
	    cmocka_unit_test(test_programs_of_the_engine),
	    cmocka_unit_test(test_programs_of_the_bypass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

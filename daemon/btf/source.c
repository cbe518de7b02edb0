// SPDX-License-Identifier: GPL-2.0-or-later
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "../util.h"

/* sysfs gives no more at once. */
#define PIECE 4096u

const void *btf_source_at(struct btf_source *s, uint32_t at, uint32_t len)
{
	uint32_t begin = at & ~UINT32_C(3); /* records are aligned, and are looked at in place */

	if (len > BTF_WINDOW - 4)
		return NULL;
	if (at < s->at || begin > s->at + s->have) {
		s->at = begin;
		s->have = 0;
	} else if (at + len > s->at + BTF_WINDOW) {
		s->have -= begin - s->at;
		memmove(s->window, s->window + (begin - s->at), s->have);
		s->at = begin;
	}
	while (s->at + s->have < at + len) {
		ssize_t n = pread(s->fd, s->window + s->have, MIN(PIECE, BTF_WINDOW - s->have),
				  (off_t)s->at + s->have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return NULL;
		s->have += (uint32_t)n;
	}
	return s->window + (at - s->at);
}

/* Far from where sums of offsets wrap. */
static bool is_sane(const struct btf_header *h)
{
	const uint32_t most = UINT32_C(1) << 28;

	return h->magic == BTF_MAGIC && h->version == BTF_VERSION && h->hdr_len >= sizeof(*h) &&
	       h->hdr_len < most && h->type_off < most && h->type_len < most && h->str_off < most &&
	       h->str_len < most && h->type_off % 4 == 0 && h->hdr_len % 4 == 0;
}

int btf_source_open(struct btf_source *s, const char *path)
{
	const struct btf_header *h;

	s->index = NULL;
	s->n_types = s->at = s->have = 0;
	s->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0)
		return -errno;
	h = btf_source_at(s, 0, sizeof(*h));
	if (!h || !is_sane(h))
		return -EINVAL;
	s->types = h->hdr_len + h->type_off;
	s->types_end = s->types + h->type_len;
	s->strings = h->hdr_len + h->str_off;
	s->strings_end = s->strings + h->str_len;
	return 0;
}

void btf_source_close(struct btf_source *s)
{
	closep_(&s->fd);
	free(s->index);
	s->index = NULL;
}

uint32_t btf_record_size(const struct btf_type *t)
{
	uint32_t n = BTF_INFO_VLEN(t->info), size = sizeof(*t);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG:
		return size;
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return size + sizeof(uint32_t);
	case BTF_KIND_ARRAY:
		return size + sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return size + n * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return size + n * sizeof(struct btf_enum);
	case BTF_KIND_ENUM64:
		return size + n * sizeof(struct btf_enum64);
	case BTF_KIND_FUNC_PROTO:
		return size + n * sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return size + n * sizeof(struct btf_var_secinfo);
	default:
		return 0;
	}
}

int btf_source_walk(struct btf_source *s, btf_see see, void *arg)
{
	uint32_t at = s->types, size, most = (s->types_end - s->types) / sizeof(struct btf_type);

	s->index = calloc(most / BTF_INDEX_EVERY + 1, sizeof(*s->index));
	if (!s->index)
		return -ENOMEM;
	for (s->n_types = 0; at < s->types_end; at += size) {
		const struct btf_type *t = btf_source_at(s, at, sizeof(*t));
		int err;

		size = t ? btf_record_size(t) : 0;
		if (!size || size > s->types_end - at)
			return -EINVAL;
		if (s->n_types % BTF_INDEX_EVERY == 0)
			s->index[s->n_types / BTF_INDEX_EVERY] = at;
		err = see(arg, ++s->n_types, t);
		if (err)
			return err;
	}
	return 0;
}

const struct btf_type *btf_source_type(struct btf_source *s, uint32_t id)
{
	const struct btf_type *t;
	uint32_t at;

	if (!id || id > s->n_types)
		return NULL;
	at = s->index[(id - 1) / BTF_INDEX_EVERY];
	for (uint32_t left = (id - 1) % BTF_INDEX_EVERY; left; left--) {
		t = btf_source_at(s, at, sizeof(*t));
		if (!t)
			return NULL;
		at += btf_record_size(t);
	}
	t = btf_source_at(s, at, sizeof(*t));
	return t ? btf_source_at(s, at, btf_record_size(t)) : NULL;
}

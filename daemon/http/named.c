/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "named.h"

#include "syntax.h"

/* The options in order, each once: a peer that chooses the names cannot make a search long. */
struct names {
	struct http_slice sorted[HTTP_CONNECTION_OPTIONS];
	size_t n;
};

static int compare(const char *buf, struct http_slice a, struct http_slice b)
{
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return names_compare(buf + a.at, buf + b.at, a.len);
}

/* Where the name is; false: where it belongs. */
static bool find(const struct names *names, const char *buf, struct http_slice name, size_t *at)
{
	size_t low = 0, high = names->n;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = compare(buf, name, names->sorted[middle]);

		if (order == 0) {
			*at = middle;
			return true;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	*at = low;
	return false;
}

static void add_names(struct names *names, const char *buf, struct http_slice list)
{
	struct http_slice option;
	size_t at;

	while (list_next(buf, &list, &option)) {
		if (!option.len || names->n == HTTP_CONNECTION_OPTIONS ||
		    find(names, buf, option, &at))
			continue;
		memmove(&names->sorted[at + 1], &names->sorted[at],
			(names->n - at) * sizeof(names->sorted[0]));
		names->sorted[at] = option;
		names->n++;
	}
}

static bool is_called(const char *name, size_t len, const char *whole)
{
	return strlen(whole) == len && names_alike(name, whole, len);
}

bool name_is_of_proxies(const char *name, size_t len)
{
	static const char prefix[] = "x-forwarded-";

	return (len >= sizeof(prefix) - 1 && names_alike(name, prefix, sizeof(prefix) - 1)) ||
	       is_called(name, len, "x-real-ip") || is_called(name, len, "x-request-id");
}

void http_mark_named(struct http_head *head, const char *buf)
{
	struct http_field *end = head->fields + head->n_fields;
	struct names names = {.n = 0};
	size_t at;

	for (struct http_field *f = head->fields; f < end; f++)
		if (f->id == FIELD_CONNECTION)
			add_names(&names, buf, f->value);
	for (struct http_field *f = head->fields; f < end; f++)
		f->named =
		    find(&names, buf, f->name, &at) &&
		    (head->is_response || !name_is_of_proxies(buf + f->name.at, f->name.len));
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "statuses.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

bool statuses_has(const struct statuses *s, unsigned int status)
{
	unsigned int i = status - STATUSES_MIN;

	return status >= STATUSES_MIN && status <= STATUSES_MAX && s->bits[i / 64] >> i % 64 & 1;
}

bool statuses_equal(const struct statuses *a, const struct statuses *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static bool take_code(const char **text, unsigned int *ret)
{
	if (strspn(*text, "0123456789") != 3)
		return false;
	*ret = (unsigned int)strtoul(*text, NULL, 10);
	*text += 3;
	return *ret >= STATUSES_MIN && *ret <= STATUSES_MAX;
}

/* "404" or "200-299" */
static int add_item(const char *item, struct statuses *s, struct text *why)
{
	const char *rest = item;
	unsigned int from, to;

	if (!take_code(&rest, &from))
		return text_invalid(why, item, "is not a status from 100 to 599");
	to = from;
	if (*rest == '-') {
		rest++;
		if (!take_code(&rest, &to))
			return text_invalid(why, item, "is not a range of statuses");
	}
	if (*rest)
		return text_invalid(why, item, "is not a status or a range");
	if (to < from)
		return text_invalid(why, item, "ends before it begins");
	for (; from <= to; from++)
		s->bits[(from - STATUSES_MIN) / 64] |= UINT64_C(1) << (from - STATUSES_MIN) % 64;
	return 0;
}

int statuses_parse(const char *text, struct statuses *ret, struct text *why)
{
	_cleanup_free_ char *copy = strdup(text);
	char *rest = copy, *item;
	struct statuses s = {0};

	if (!copy)
		return -ENOMEM;
	while ((item = strsep(&rest, ","))) {
		size_t len;
		int r;

		item += strspn(item, " \t");
		len = strlen(item);
		while (len && strchr(" \t", item[len - 1]))
			item[--len] = '\0';
		r = add_item(item, &s, why);
		if (r < 0)
			return r;
	}
	*ret = s;
	return 0;
}

void statuses_format(const struct statuses *s, const char *separator, FILE *out)
{
	const char *before = "";

	for (unsigned int i = STATUSES_MIN; i <= STATUSES_MAX; i++) {
		unsigned int first = i;

		if (!statuses_has(s, i))
			continue;
		while (statuses_has(s, i + 1))
			i++;
		(void)fprintf(out, "%s%u", before, first);
		if (i > first)
			(void)fprintf(out, "-%u", i);
		before = separator;
	}
}

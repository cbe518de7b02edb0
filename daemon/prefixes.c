// SPDX-License-Identifier: GPL-2.0-or-later
#include "prefixes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

struct prefixes {
	struct prefix *all; /* sorted: those that begin with one follow it */
	size_t n;
	uint32_t *numbers;
};

/* By bytes; one that is a prefix of another one comes first. */
static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, MIN(a_len, b_len));

	return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int by_text(const void *a, const void *b)
{
	const struct prefix_entry *x = a, *y = b;
	int order = compare(x->text, x->len, y->text, y->len);

	return order ? order : (x->number > y->number) - (x->number < y->number);
}

static bool begins_with(const char *text, size_t len, const struct prefix *p)
{
	return len >= p->len && memcmp(text, p->text, p->len) == 0;
}

/* Of the last one in the order, whose `shorter` is right already, and those before it. */
static const struct prefix *longest_of(const struct prefix *p, const char *text, size_t len)
{
	while (p && !begins_with(text, len, p))
		p = p->shorter;
	return p;
}

static void add(struct prefixes *p, const struct prefix_entry *e, uint32_t *number)
{
	struct prefix *last = p->n ? &p->all[p->n - 1] : NULL;
	struct prefix *own;

	*number = e->number;
	if (last && compare(last->text, last->len, e->text, e->len) == 0) {
		last->n++;
		return;
	}
	own = &p->all[p->n++];
	*own = (struct prefix){.text = e->text,
			       .len = e->len,
			       .shorter = longest_of(last, e->text, e->len),
			       .numbers = number,
			       .n = 1,
			       .least = e->number};
	if (own->shorter)
		own->least = MIN(own->least, own->shorter->least);
}

struct prefixes *prefixes_new(struct prefix_entry *entries, size_t n)
{
	struct prefixes *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->all = calloc(n + 1, sizeof(*p->all));
	p->numbers = calloc(n + 1, sizeof(*p->numbers));
	if (!p->all || !p->numbers) {
		prefixes_free(p);
		return NULL;
	}
	qsort(entries, n, sizeof(*entries), by_text);
	for (size_t i = 0; i < n; i++)
		add(p, &entries[i], &p->numbers[i]);
	return p;
}

void prefixes_free(struct prefixes *p)
{
	if (!p)
		return;
	free(p->all);
	free(p->numbers);
	free(p);
}

const struct prefix *prefixes_find(const struct prefixes *p, const char *text, size_t len)
{
	size_t first = 0, end = p->n;

	/* The last one that does not come after the text: whatever the text begins with is that, or
	 * what that begins with. */
	while (first < end) {
		size_t at = first + (end - first) / 2;

		if (compare(p->all[at].text, p->all[at].len, text, len) <= 0)
			first = at + 1;
		else
			end = at;
	}
	return first ? longest_of(&p->all[first - 1], text, len) : NULL;
}

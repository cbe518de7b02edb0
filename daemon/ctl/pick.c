// SPDX-License-Identifier: GPL-2.0-or-later
#include "pick.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../util.h"
#include "field.h"

/* ---- keys ---- */

enum kind { KIND_TEXT, KIND_NUMBER, KIND_BYTES, KIND_TIME };

/* A field of a session, by its name in JSON and by a shorter one; also: is added to it. */
static const struct pick_key {
	const char *name, *field, *also;
	enum kind kind;
} keys[] = {
    {"id", "id", NULL, KIND_NUMBER},
    {"listener", "listener", NULL, KIND_TEXT},
    {"pool", "pool", NULL, KIND_TEXT},
    {"server", "server", NULL, KIND_TEXT},
    {"client", "client", NULL, KIND_TEXT},
    {"backend", "backend", NULL, KIND_TEXT},
    {"engine", "engine", NULL, KIND_TEXT},
    {"engine_reason", "engine_reason", NULL, KIND_TEXT},
    {"state", "state", NULL, KIND_TEXT},
    {"age", "age_ms", NULL, KIND_TIME},
    {"up", "bytes_up", NULL, KIND_BYTES},
    {"down", "bytes_down", NULL, KIND_BYTES},
    {"bytes", "bytes_up", "bytes_down", KIND_BYTES},
    {"pauses", "pauses", NULL, KIND_NUMBER},
    {"rate", "rate", NULL, KIND_BYTES},
};

static int64_t number_of(const struct pick_key *key, const json_t *session)
{
	return int_of(session, key->field) + (key->also ? int_of(session, key->also) : 0);
}

/* "": it has none. */
static const char *word_of(const struct pick_key *key, const json_t *session)
{
	const char *text = json_string_value(json_object_get(session, key->field));

	return text ? text : "";
}

static const struct pick_key *find_key(const char *name, size_t len, char why[PICK_WHY_MAX])
{
	int n =
	    snprintf(why, PICK_WHY_MAX, "\"%.*s\" is no key; there are", (int)MIN(len, 20), name);

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if ((strlen(keys[i].name) == len && strncmp(keys[i].name, name, len) == 0) ||
		    (!keys[i].also && strlen(keys[i].field) == len &&
		     strncmp(keys[i].field, name, len) == 0))
			return &keys[i];
		if (n > 0 && n < PICK_WHY_MAX)
			n += snprintf(why + n, (size_t)(PICK_WHY_MAX - n), " %s", keys[i].name);
	}
	return NULL;
}

/* ---- what was asked for ---- */

struct unit {
	const char *name;
	int64_t worth;
};

static const struct unit units_of_bytes[] = {{"", 1},          {"K", 1LL << 10}, {"M", 1LL << 20},
					     {"G", 1LL << 30}, {"T", 1LL << 40}, {0}};
static const struct unit units_of_time[] = {
    {"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit units_of_numbers[] = {{"", 1}, {0}};

static const struct unit *units_of(enum kind kind)
{
	if (kind == KIND_BYTES)
		return units_of_bytes;
	return kind == KIND_TIME ? units_of_time : units_of_numbers;
}

static int parse_number(const char *text, enum kind kind, int64_t *ret)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno || end == text || !isdigit((unsigned char)text[0]))
		return -EINVAL;
	for (const struct unit *u = units_of(kind); u->name; u++)
		if (strcmp(u->name, end) == 0)
			return __builtin_mul_overflow(n, u->worth, ret) ? -EINVAL : 0;
	return -EINVAL;
}

int pick_add_filter(struct pick *p, const char *text, char why[PICK_WHY_MAX])
{
	static const char *const kinds[] = {[KIND_TEXT] = "a text",
					    [KIND_NUMBER] = "a number",
					    [KIND_BYTES] = "a number of bytes, such as 10M",
					    [KIND_TIME] = "a time, such as 90s"};
	struct pick_filter f = {0};
	size_t len = strcspn(text, "=!<>");
	const char *value = text + len + 1;

	f.key = find_key(text, len, why);
	if (!f.key)
		return -EINVAL;
	switch (text[len]) {
	case '=':
		f.is = PICK_EQUAL;
		break;
	case '<':
		f.is = PICK_LESS;
		break;
	case '>':
		f.is = PICK_MORE;
		break;
	case '!':
		f.is = PICK_DIFFERENT;
		if (*value++ == '=')
			break;
		/* fall through */
	default:
		(void)snprintf(why, PICK_WHY_MAX, "KEY=VALUE, KEY!=VALUE, KEY<VALUE or KEY>VALUE");
		return -EINVAL;
	}
	f.pattern = value;
	if (f.key->kind == KIND_TEXT ? f.is == PICK_LESS || f.is == PICK_MORE
				     : parse_number(value, f.key->kind, &f.number) < 0) {
		(void)snprintf(why, PICK_WHY_MAX, "%s is %s", f.key->name, kinds[f.key->kind]);
		return -EINVAL;
	}
	if (p->n_filters == PICK_FILTERS_MAX) {
		(void)snprintf(why, PICK_WHY_MAX, "at most %d filters", PICK_FILTERS_MAX);
		return -EINVAL;
	}
	p->filters[p->n_filters++] = f;
	return 0;
}

int pick_set_sort(struct pick *p, const char *text, char why[PICK_WHY_MAX])
{
	p->reversed = *text == '-';
	text += p->reversed;
	p->sort = find_key(text, strlen(text), why);
	return p->sort ? 0 : -EINVAL;
}

static bool is_rate(const struct pick_key *key)
{
	return key && strcmp(key->name, "rate") == 0;
}

bool pick_needs_rate(const struct pick *p)
{
	for (size_t i = 0; i < p->n_filters; i++)
		if (is_rate(p->filters[i].key))
			return true;
	return is_rate(p->sort);
}

/* ---- sessions ---- */

static bool passes(const struct pick_filter *f, const json_t *session)
{
	int64_t n;
	bool same;

	if (f->key->kind == KIND_TEXT) {
		same = fnmatch(f->pattern, word_of(f->key, session), 0) == 0;
		return same == (f->is == PICK_EQUAL);
	}
	n = number_of(f->key, session);
	switch (f->is) {
	case PICK_EQUAL:
		return n == f->number;
	case PICK_DIFFERENT:
		return n != f->number;
	case PICK_LESS:
		return n < f->number;
	default:
		return n > f->number;
	}
}

static bool is_picked(const struct pick *p, const json_t *session)
{
	for (size_t i = 0; i < p->n_filters; i++)
		if (!passes(&p->filters[i], session))
			return false;
	return true;
}

static int compare_numbers(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

/* The largest number first, a text as in a dictionary (numbers in it as numbers); then by id. */
static int compare(const void *a, const void *b, void *arg)
{
	const json_t *left = *(json_t *const *)a, *right = *(json_t *const *)b;
	const struct pick *p = arg;
	int r;

	if (p->sort->kind == KIND_TEXT)
		r = strverscmp(word_of(p->sort, left), word_of(p->sort, right));
	else
		r = compare_numbers(number_of(p->sort, right), number_of(p->sort, left));
	if (r)
		return p->reversed ? -r : r;
	return compare_numbers(int_of(left, "id"), int_of(right, "id"));
}

json_t *pick_sessions(const struct pick *p, const json_t *sessions)
{
	_cleanup_free_ json_t **picked = calloc(json_array_size(sessions) + 1, sizeof(json_t *));
	json_t *all = picked ? json_array() : NULL, *session;
	size_t i, n = 0;

	if (!all)
		return NULL;
	json_array_foreach(sessions, i, session) if (is_picked(p, session)) picked[n++] = session;
	if (p->sort)
		qsort_r(picked, n, sizeof(json_t *), compare, (void *)(uintptr_t)p);
	if (p->limit)
		n = MIN(n, p->limit);
	for (i = 0; i < n; i++) {
		if (json_array_append(all, picked[i]) == 0)
			continue;
		json_decref(all);
		return NULL;
	}
	return all;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The doctor's findings as a table. */
#include "print.h"

#include <string.h>

#include "../util.h"

static const char *text_or(const json_t *object, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? text : otherwise;
}

/* Printable ASCII and UTF-8 pass: a reason may quote what some peer sent. */
static void put_clean(const char *text, FILE *out)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		(void)fputc(c < 0x20 || c == 0x7f ? '?' : c, out);
	}
}

static void put_padded(const char *text, size_t width, FILE *out)
{
	put_clean(text, out);
	for (size_t n = strlen(text); n < width + 2; n++)
		(void)fputc(' ', out);
}

static void put_check(const json_t *check, size_t name_width, size_t answer_width, FILE *out)
{
	const char *fact = text_or(check, "fact", NULL);

	put_padded(text_or(check, "name", "-"), name_width, out);
	put_padded(text_or(check, "answer", "-"), answer_width, out);
	put_clean(text_or(check, "why", "-"), out);
	if (fact) {
		(void)fputs(" (", out);
		put_clean(fact, out);
		(void)fputc(')', out);
	}
	(void)fputc('\n', out);
}

void doctor_print(const json_t *doctor, FILE *out)
{
	static const char *const keys[] = {"kernel", "engine", "engine_reason"};
	static const char *const titles[] = {"Kernel", "Engine", "Because"};
	const json_t *checks = json_object_get(doctor, "checks");
	size_t answer_width = strlen("ANSWER");
	size_t name_width = strlen("CHECK");
	const json_t *check;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		put_padded(titles[i], strlen("Because"), out);
		put_clean(text_or(doctor, keys[i], "-"), out);
		(void)fputc('\n', out);
	}
	if (json_array_size(checks) == 0)
		return;

	json_array_foreach(checks, i, check)
	{
		name_width = MAX(name_width, strlen(text_or(check, "name", "-")));
		answer_width = MAX(answer_width, strlen(text_or(check, "answer", "-")));
	}
	(void)fputc('\n', out);
	put_padded("CHECK", name_width, out);
	put_padded("ANSWER", answer_width, out);
	(void)fputs("WHY\n", out);
	json_array_foreach(checks, i, check) put_check(check, name_width, answer_width, out);
}

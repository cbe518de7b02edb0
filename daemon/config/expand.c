/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "expand.h"

#include <ctype.h>
#include <string.h>

#include "file.h"

#define VALUE_MAX (64 << 10) /* what one value may become */

static const char *find(const struct config_file *f, const char *name, size_t len)
{
	for (char *const *v = f->environment; v && *v; v++)
		if (strncmp(*v, name, len) == 0 && (*v)[len] == '=')
			return *v + len + 1;
	return NULL;
}

static size_t name_len(const char *text)
{
	size_t n = 0;

	while (text[n] == '_' || isalpha((unsigned char)text[n]) ||
	       (n && isdigit((unsigned char)text[n])))
		n++;
	return n;
}

/* `text` is behind "${". Writes what it stands for; returns what follows the "}", or NULL. */
static const char *replace(struct config_file *f, const char *key, const char *text, FILE *out)
{
	size_t len = name_len(text);
	const char *end = strchr(text, '}'), *value;
	bool given = strncmp(text + len, ":-", 2) == 0;

	if (!end || !len || (!given && text + len != end)) {
		file_error(f, f->line,
			   "%s: \"${%.40s\" names no variable; allowed: ${NAME}, ${NAME:-TEXT}, or "
			   "$${ for the characters themselves",
			   key, text);
		return NULL;
	}
	value = find(f, text, len);
	if (given && (!value || !*value)) {
		(void)fwrite(text + len + 2, 1, (size_t)(end - text) - len - 2, out);
	} else if (value) {
		(void)fputs(value, out);
	} else {
		file_error(f, f->line,
			   "%s: the environment has no %.*s; allowed: one that is there, or "
			   "${NAME:-TEXT}",
			   key, (int)len, text);
		return NULL;
	}
	return end + 1;
}

static bool is_writable(struct config_file *f, const char *key, const char *value)
{
	if (!file_is_value(f, key, value))
		return false;
	if (strlen(value) <= VALUE_MAX)
		return true;
	file_error(f, f->line, "%s: the value is too long; allowed: %d bytes", key, VALUE_MAX);
	return false;
}

char *expand(struct config_file *f, const char *key, const char *value)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	while (out && value && *value) {
		size_t plain = strcspn(value, "$");

		(void)fwrite(value, 1, plain, out);
		value += plain;
		if (strncmp(value, "$${", 3) == 0) {
			(void)fputs("${", out);
			value += 3;
		} else if (strncmp(value, "${", 2) == 0) {
			value = replace(f, key, value + 2, out);
		} else if (*value) {
			(void)fputc(*value++, out);
		}
	}
	if (!out || fclose(out) != 0) {
		f->no_memory = true;
		value = NULL;
	}
	if (value && is_writable(f, key, text)) {
		char *rest = file_trim(text);

		return memmove(text, rest, strlen(rest) + 1);
	}
	free(text);
	return NULL;
}

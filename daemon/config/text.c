/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void text_add(struct text *t, const char *fmt, ...)
{
	size_t room = sizeof(t->s) - t->len;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->s + t->len, room, fmt, args);
	va_end(args);

	if (n > 0)
		t->len += MIN((size_t)n, room - 1);
}

void text_add_quoted(struct text *t, const char *value)
{
	if (strlen(value) > 80)
		text_add(t, "\"%.80s...\"", value);
	else
		text_add(t, "\"%s\"", value);
}

int text_invalid(struct text *t, const char *value, const char *problem)
{
	text_add_quoted(t, value);
	text_add(t, " %s", problem);
	return -EINVAL;
}

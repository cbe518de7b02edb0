/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A message being put together, from several places. */
#pragma once

#include <stddef.h>

#include "../util.h"

/* What does not fit is cut. */
struct text {
	size_t len;
	char s[1024];
};
void text_add(struct text *t, const char *fmt, ...) _printf_(2, 3);
/* Adds "value", shortened when it is long. */
void text_add_quoted(struct text *t, const char *value);
/* Adds "value" and what is wrong with it. -EINVAL. */
int text_invalid(struct text *t, const char *value, const char *problem);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A configuration on its way to a struct config: places to blame, and what is wrong so far. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "source.h"
#include "table.h"

#define FILE_MAX_ERRORS 100

struct config_file {
	FILE *errors;
	unsigned int n_errors;
	bool no_memory;
	int line; /* the place that is being read, or was read last */
	/* What waits for a restart is as it was before, and has no place in this file. */
	bool kept;
	/* `written` of the section that is being read; after the last one, of [spliced]. */
	int *lines;
	int **items;              /* the same of its `items` */
	char *const *environment; /* for ${NAME}; NULL: none */
	struct config *config;    /* the result */
};

/* Writes "WHERE: text" to the errors. Control bytes that a file may hold become '?'. */
void file_error(struct config_file *f, int line, const char *fmt, ...) _printf_(3, 4);

/* Notes something that is no mistake, but hardly meant, in f->config. Line 0: of a default, which
 * no line has. */
void file_warning(struct config_file *f, int line, const char *fmt, ...) _printf_(3, 4);

/* Whether a value from elsewhere could stand in a file: in one line, and no part of it a comment.
 * If not, it is blamed. */
bool file_is_value(struct config_file *f, const char *key, const char *value);

/* Cuts blanks off both ends, in place, as the file's reader does. Returns where the rest begins. */
char *file_trim(char *value);

/* How a message about one place names another: "on line 3" of the same file, or "at FILE:3".
 * Written to buf, and returned. */
#define FILE_REF_MAX (CONFIG_WHERE_MAX + 8)
const char *file_ref(const struct config_file *f, int from, int to, char buf[static FILE_REF_MAX]);

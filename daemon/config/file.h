/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A configuration file on its way to a struct config: lines to blame, and what is wrong so far. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "table.h"

#define FILE_MAX_ERRORS 100

struct config_file {
	const char *path;
	FILE *errors;
	unsigned int n_errors;
	bool no_memory;
	int line; /* the last one read */
	/*
	 * Where an option was last written: the line, minus the line when its value was wrong, 0 if
	 * it is not in the section being read. Those of [spliced] stay until the check.
	 */
	int lines[_OPTION_ID_MAX];
	/* The line of each address in `bind`, in the order of the listeners and their binds. */
	int *bind_lines;
	size_t n_bind_lines;
	struct config *config; /* the result */
};

/* Writes "FILE:LINE: text" to the errors. Control bytes that the file may hold become '?'. */
void file_error(struct config_file *f, int line, const char *fmt, ...) _printf_(3, 4);

/* Notes something that is no mistake, but hardly meant, in f->config. Line 0: of a default, which
 * no line has. */
void file_warning(struct config_file *f, int line, const char *fmt, ...) _printf_(3, 4);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A configuration file on its way to a struct config: lines to blame, and what is wrong so far. */
#pragma once

#include "option.h"

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

/* Notes something that is no mistake, but hardly meant, in f->config. */
void file_warning(struct config_file *f, int line, const char *fmt, ...) _printf_(3, 4);

/* Fills f->config from the stream; everything wrong goes to file_error() or sets no_memory. */
void parse_file(struct config_file *f, FILE *stream);

/* At the end of a section: what was written in it and does nothing. `base` is its struct. */
void check_section(struct config_file *f, enum section section, void *base);
/* Pools nobody uses, and options that nobody who uses a pool heeds. */
void warn_of_whole(struct config_file *f);
/* What only the whole shows: names that are used, used twice or missing, limits that cross. */
void check_file(struct config_file *f);

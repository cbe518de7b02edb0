/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables: columns as wide as their longest cell. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "../util.h"

#define COLUMNS_MAX 11
#define CELL_MAX    128

struct column {
	const char *title;
	bool right; /* numbers */
};

struct table {
	const struct column *columns;
	size_t n_columns;
	size_t n_rows;
	char (*cells)[COLUMNS_MAX][CELL_MAX];
};

/* Room for so many rows; 0 or -ENOMEM. A row is begun by adding one to n_rows. */
int table_init(struct table *t, const struct column *columns, size_t n_columns, size_t rows);
void table_free(struct table *t);
/* Sets a cell of the last row. What a peer sent must not steer the terminal. */
void _printf_(3, 4) table_set(struct table *t, size_t column, const char *fmt, ...);
void table_write(const struct table *t, FILE *out);
void table_print(const struct table *t); /* on standard output */

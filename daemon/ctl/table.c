// SPDX-License-Identifier: GPL-2.0-or-later
#include "table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int table_init(struct table *t, const struct column *columns, size_t n_columns, size_t rows)
{
	*t = (struct table){.columns = columns, .n_columns = n_columns};
	t->cells = calloc(rows ? rows : 1, sizeof(*t->cells));
	return t->cells ? 0 : -ENOMEM;
}

void table_free(struct table *t)
{
	free(t->cells);
}

void table_set(struct table *t, size_t column, const char *fmt, ...)
{
	char *cell = t->cells[t->n_rows - 1][column];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(cell, CELL_MAX, fmt, args);
	va_end(args);
	for (; *cell; cell++)
		if ((unsigned char)*cell < 0x20 || *cell == 0x7f)
			*cell = '?';
}

static void put_cell(FILE *out, const char *text, size_t width, bool right, bool last)
{
	if (right)
		(void)fprintf(out, "%*s", (int)width, text);
	else
		(void)fprintf(out, "%-*s", last ? 0 : (int)width, text);
	(void)fputs(last ? "\n" : "  ", out);
}

void table_write(const struct table *t, FILE *out)
{
	size_t widths[COLUMNS_MAX];
	size_t c;
	size_t r;

	for (c = 0; c < t->n_columns; c++) {
		widths[c] = strlen(t->columns[c].title);
		for (r = 0; r < t->n_rows; r++)
			widths[c] = MAX(widths[c], strlen(t->cells[r][c]));
	}
	for (c = 0; c < t->n_columns; c++)
		put_cell(out, t->columns[c].title, widths[c], t->columns[c].right,
			 c + 1 == t->n_columns);
	for (r = 0; r < t->n_rows; r++)
		for (c = 0; c < t->n_columns; c++)
			put_cell(out, t->cells[r][c], widths[c], t->columns[c].right,
				 c + 1 == t->n_columns);
}

void table_print(const struct table *t)
{
	table_write(t, stdout);
}

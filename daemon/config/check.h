/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

struct config_file;

/* What only the whole shows: names that are used, used twice or missing, limits that cross. */
void check_file(struct config_file *f);
/* The same of a file that was right by itself, beside what is kept (f->kept). */
void check_kept(struct config_file *f);

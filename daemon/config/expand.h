/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

struct config_file;

/*
 * The value of `key` with ${NAME} replaced by the variable of f->environment, ${NAME:-TEXT} by TEXT
 * where there is no such one or it is empty, and $${ by ${. The caller owns it; NULL: it was wrong,
 * which file_error() was told, or no memory, which is noted.
 */
char *expand(struct config_file *f, const char *key, const char *value);

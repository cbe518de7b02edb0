/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sections, and what is written into them, from whichever source. */
#pragma once

#include "table.h"

struct config_file;

/*
 * Begins the section at f->line: f->lines is its `written` then. Of [spliced] there is one; any
 * other is new even if its name is taken, which the check finds. Its struct, or NULL without
 * memory, which is noted.
 */
void *section_begin(struct config_file *f, enum section section, const char *name);
/* The same for the section of that name, if there is one. */
void *section_resume(struct config_file *f, enum section section, const char *name);

/*
 * Sets the option in the section that was begun or resumed last; a list is appended to. What a
 * source of less weight has set is gone first. What is wrong goes to file_error().
 */
void section_set(struct config_file *f, const struct option *o, void *base, const char *value);
/* Blames a key that the section does not have. */
void section_unknown_key(struct config_file *f, enum section section, const char *key);

/* When everything was read: what the sections must have, and what in them does nothing. */
void sections_finish(struct config_file *f);

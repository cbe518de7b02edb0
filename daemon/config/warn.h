/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "table.h"

struct config_file;

/* At the end of a section: what was written in it and does nothing. `base` is its struct. */
void warn_of_section(struct config_file *f, enum section section, void *base);
/* Pools nobody uses, and options that nobody who uses a pool heeds. */
void warn_of_whole(struct config_file *f);

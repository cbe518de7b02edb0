/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Settings from outside of files, which weigh more than what files say: variables of the
 * environment, and options -o of the command line, which weigh most. An option that is a list is
 * replaced as a whole. Each is asked twice: for `include` alone, before those files are read, and
 * for all but that.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct config_file;

/*
 * SPLICED_KEY, SPLICED_LISTENER_NAME_KEY and SPLICED_POOL_NAME_KEY, in capitals. A name stands for
 * the section whose name is the same when letters are made capitals and all but letters and digits
 * '_', or, where there is no such one, for a new section with small letters. A list's values are
 * numbered: KEY_1, KEY_2, ... Variables that name no option are left alone, those that seem to are
 * warned of.
 */
void override_environment(struct config_file *f, bool includes);
/* spliced.KEY=VALUE, listener.NAME.KEY=VALUE and pool.NAME.KEY=VALUE. */
void override_settings(struct config_file *f, const char **settings, size_t n, bool includes);

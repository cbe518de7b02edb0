/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

struct config_file;

/* What only the whole shows of [intercept NAME] sections: listeners, cgroups. */
void check_intercepts(struct config_file *f);
/* Of sections that are kept: whether they lead anywhere in this file. */
void check_kept_intercepts(struct config_file *f);

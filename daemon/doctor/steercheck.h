/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether connections can be steered here: with some of this process, to ports that nobody listens
 * at. */
#pragma once

extern const char steer_check_name[], steer_check_fact[];

/* Needs privileges. 0, or a negative errno and a sentence in `why`. */
int steer_check_run(char why[256]);

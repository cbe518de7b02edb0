/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether connects can be intercepted here: with connects of this process, which nobody answers
 * but itself. */
#pragma once

extern const char intercept_check_name[], intercept_check_fact[];

/* Needs privileges. 0, or a negative errno and a sentence in `why`. */
int intercept_check_run(char why[256]);

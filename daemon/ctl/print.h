/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's answers as text on standard output. What is missing in one is printed as "-". 0 or
 * -ENOMEM. */
#pragma once

#include <jansson.h>

int print_status(const json_t *status);
int print_pools(const json_t *pools);
int print_sessions(const json_t *sessions);
int print_stats(const json_t *stats);
int print_doctor(const json_t *doctor);

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's answers as text on standard output. What is missing in one is printed as "-". 0 or
 * -ENOMEM. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

int print_status(const json_t *status);
int print_pools(const json_t *pools);
int print_sessions(const json_t *sessions);
int print_stats(const json_t *stats);
int print_doctor(const json_t *doctor);
/* -EREMOTEIO where it has failed: the mistakes, on standard error. */
int print_reload(const json_t *answer);
int print_upgrade(const json_t *answer);
/* Of drain, maint, ready, weight and kill: what is so now. */
int print_order(const json_t *answer);
/* Whether the answer says that what was asked for was not done. */
bool print_has_failed(const json_t *answer);
